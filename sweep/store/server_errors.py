"""Which errors of a server pass: it is away, full or busy at the moment, and the same request may succeed later."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

_PASSES = re.compile("08|53|57|58|40001|40P01|25006")
"""How the codes of a database's errors begin (SQLSTATE) that pass: lost connection, full disk or memory, shutdown, system error,
deadlock, a server that is read-only while another one takes over."""

_PASSES_MYSQL = frozenset(
    [
        *(2002, 2003, 2006, 2013, 2055, 1158, 1159, 1160, 1161, 1927),  # no connection, or a lost one
        *(1021, 1037, 1038, 1041, 1114, 1040, 1203),  # full disk or memory, too many connections
        *(1053, 1205, 1213, 1290, 1836),  # shutdown, waited for a lock, deadlock, read-only
    ]
)
"""The numbers of errors of MySQL and MariaDB that pass."""
_MYSQL_DRIVERS = ("pymysql", "mysqldb", "mysql", "mariadb")

_STAYS = re.compile(
    "authentication failed|does not exist|no password supplied|no pg_hba.conf entry|not permitted to log in|certificate|"
    "does not support SSL|resolve host|translate host name|Name or service not known|nodename nor servname"
)
"""Refusals of a first connection that no waiting changes."""

_UNREACHABLE = (
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
)

_CONNECT_SECONDS = 10
"""The longest wait for a connection to a database server."""
_ANSWER_SECONDS = 60
"""The longest wait for an answer, where the driver itself watches it; otherwise `silence` does."""

_WITH_A_TIMEOUT = (
    *("postgresql", "postgresql+psycopg", "postgresql+psycopg2"),
    *("mysql", "mysql+mysqldb", "mysql+pymysql", "mariadb", "mariadb+mysqldb", "mariadb+pymysql"),
)
"""The databases and drivers that know the argument `connect_timeout`; those of MySQL also `read_timeout` and `write_timeout`."""


def passing_database_error(error: BaseException | None, *, reached: bool) -> str | None:
    """The reason in one line if a database server is away, full or busy; None if the error has another cause.

    Args:
        error: an error of SQLAlchemy, or one that was raised from it.
        reached: whether the server has answered before: then it is being restarted, whatever it says to a new connection.
    """
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    failed = next((each for each in _causes(error) if isinstance(each, DBAPIError)), None)
    if failed is None:
        return None
    text = str(failed.orig).strip().partition("\n")[0] or type(failed.orig).__name__
    code = getattr(failed.orig, "sqlstate", None) or getattr(failed.orig, "pgcode", None)
    if (number := _mysql_number(failed.orig)) is not None:
        passes = failed.connection_invalidated or (number in _PASSES_MYSQL and (reached or _STAYS.search(text) is None))
    elif code is not None:
        passes = failed.connection_invalidated or _PASSES.match(code) is not None
    elif isinstance(failed, OperationalError | InterfaceError):
        passes = reached or _STAYS.search(text) is None or "emporary failure" in text
    else:
        passes = failed.connection_invalidated
    return text if passes else None


def passing_network_error(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is that of a host that cannot be reached at the moment."""
    for each in _causes(error):
        if isinstance(each, socket.gaierror):
            return each.errno == socket.EAI_AGAIN
        if isinstance(each, TimeoutError) or (isinstance(each, OSError) and each.errno in _UNREACHABLE):
            return True
    return False


def connect_arguments(url: str) -> dict[str, Any]:
    """What a database's driver is given so that connecting has a limit, unless the address or the environment has one."""
    kind = url.partition("://")[0].lower()
    limits: dict[str, int] = {}
    if kind in _WITH_A_TIMEOUT and "PGCONNECT_TIMEOUT" not in os.environ:
        limits["connect_timeout"] = _CONNECT_SECONDS
    if kind in _WITH_A_TIMEOUT and kind.startswith(("mysql", "mariadb")):
        limits |= {"read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS}
    return {name: seconds for name, seconds in limits.items() if name not in url}


def _mysql_number(error: BaseException | None) -> int | None:
    """The number of an error of MySQL or MariaDB; None of any other."""
    if type(error).__module__.partition(".")[0].lower() not in _MYSQL_DRIVERS:
        return None
    number = getattr(error, "errno", None) or next(iter(getattr(error, "args", ())), None)
    return number if type(number) is int else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
