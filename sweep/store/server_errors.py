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

_STAYS = re.compile(
    "authentication failed|does not exist|no password supplied|no pg_hba.conf entry|not permitted to log in|certificate|"
    "does not support SSL|resolve host|translate host name"
)
"""Refusals of a first connection that no waiting changes."""

_UNREACHABLE = (
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
)

_CONNECT_SECONDS = 10
"""The longest wait for a connection to a database server."""

_WITH_A_TIMEOUT = (
    *("postgresql", "postgresql+psycopg", "postgresql+psycopg2"),
    *("mysql", "mysql+mysqldb", "mysql+pymysql", "mariadb", "mariadb+mysqldb", "mariadb+pymysql"),
)
"""The databases and drivers that know the argument `connect_timeout`."""


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
    if code is not None:
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
    is_limited = "connect_timeout" in url or "PGCONNECT_TIMEOUT" in os.environ
    takes_it = url.partition("://")[0].lower() in _WITH_A_TIMEOUT
    return {"connect_timeout": _CONNECT_SECONDS} if takes_it and not is_limited else {}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
