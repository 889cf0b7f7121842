"""Transient errors of servers are distinguished from permanent ones."""

from __future__ import annotations

import errno
import socket

import psycopg
import pymysql
import pytest
from psycopg import errors
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, OperationalError

from sweep.store.server_errors import connect_arguments, passing_database_error, passing_network_error


def wrapped(error: psycopg.Error, *, lost: bool = False) -> DBAPIError:
    """As SQLAlchemy raises an error of its driver."""
    return OperationalError("SELECT 1", {}, error, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (errors.DiskFull("could not extend file"), True),
        (errors.TooManyConnections("sorry, too many clients already"), True),
        (errors.AdminShutdown("terminating connection"), True),
        (errors.CannotConnectNow("the database system is starting up"), True),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), True),
        (errors.DeadlockDetected("deadlock detected"), True),
        (errors.UndefinedTable('relation "trials" does not exist'), False),
        (errors.InsufficientPrivilege("permission denied"), False),
        (errors.UniqueViolation("duplicate key"), False),
    ],
)
def test_codes_of_a_database(error: psycopg.Error, passes: bool) -> None:
    assert (passing_database_error(wrapped(error), reached=True) is not None) is passes


@pytest.mark.parametrize(
    "text",
    [
        'connection failed: FATAL:  password authentication failed for user "ann"',
        'connection failed: FATAL:  database "optuna" does not exist',
        "failed to resolve host 'nowhere': [Errno -2] Name or service not known",
    ],
)
def test_a_mistake_in_the_address_stays_until_the_server_has_answered(text: str) -> None:
    error = wrapped(psycopg.OperationalError(text))
    assert passing_database_error(error, reached=False) is None
    assert passing_database_error(error, reached=True) == text


def test_a_refused_connection_passes_and_its_reason_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = create_engine(f"postgresql+psycopg://ann@127.0.0.1:{taken.getsockname()[1]}/x")
        with pytest.raises(OperationalError) as raised:
            engine.connect()
    reason = passing_database_error(raised.value, reached=False)
    assert reason is not None
    assert "refused" in reason
    assert "\n" not in reason


def test_a_connection_that_was_lost_passes_and_other_errors_do_not() -> None:
    assert passing_database_error(wrapped(psycopg.OperationalError("the connection is lost"), lost=True), reached=False)
    assert passing_database_error(ValueError("no"), reached=True) is None
    assert passing_database_error(None, reached=True) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ECONNREFUSED, "refused"), True),
        (OSError(errno.EHOSTUNREACH, "no route"), True),
        (TimeoutError("timed out"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (OSError(errno.EACCES, "denied"), False),
        (ValueError("no"), False),
    ],
)
def test_errors_of_the_network(error: Exception, passes: bool) -> None:
    assert passing_network_error(error) is passes
    outer = RuntimeError("a library's own")
    outer.__cause__ = error
    assert passing_network_error(outer) is passes


@pytest.mark.parametrize(
    ("url", "limited"),
    [
        ("postgresql+psycopg://ann@db/x", True),
        ("mysql+pymysql://ann@db/x", True),
        ("postgresql://ann@db/x?connect_timeout=3", False),
        ("postgresql+pg8000://ann@db/x", False),
    ],
)
def test_connecting_has_a_limit_unless_the_address_has_one(
    url: str, limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    assert connect_arguments(url).get("connect_timeout") == (10 if limited else None)


def test_an_answer_of_mysql_has_a_limit_too() -> None:
    limits = connect_arguments("mysql+pymysql://ann@db/x?read_timeout=5")
    assert limits == {"connect_timeout": 10, "write_timeout": 60}
    assert connect_arguments("postgresql+psycopg://ann@db/x").keys() <= {"connect_timeout"}


@pytest.mark.parametrize(
    ("error", "at_first", "later"),
    [
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db' ([Errno 111] refused)"), True, True),
        (pymysql.err.OperationalError(2003, "Can't connect ([Errno -2] Name or service not known)"), False, True),
        (pymysql.err.OperationalError(1045, "Access denied for user 'ann'@'db' (using password: YES)"), False, False),
        (pymysql.err.OperationalError(1049, "Unknown database 'optuna'"), False, False),
        (pymysql.err.OperationalError(1054, "Unknown column 'x' in 'SELECT'"), False, False),
        (pymysql.err.OperationalError(1040, "Too many connections"), True, True),
        (pymysql.err.OperationalError(1213, "Deadlock found when trying to get lock"), True, True),
        (pymysql.err.OperationalError(1114, "The table 'trials' is full"), True, True),
        (pymysql.err.DataError(1406, "Data too long for column 'value_json'"), False, False),
    ],
)
def test_numbers_of_mysql(error: pymysql.err.MySQLError, at_first: bool, later: bool) -> None:
    raised = OperationalError("SELECT 1", {}, error)
    assert (passing_database_error(raised, reached=False) is not None) is at_first
    assert (passing_database_error(raised, reached=True) is not None) is later
