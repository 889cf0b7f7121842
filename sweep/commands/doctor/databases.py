"""Whether the databases of MLflow and Optuna can be written to or reached. Leaves no files, shows no credentials."""

from __future__ import annotations

import importlib
import shlex
import socket
import sqlite3
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sweep.commands.doctor.capacity import existing
from sweep.commands.doctor.findings import Finding, misconfigured
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.housekeeping.moved import where_it_was
from sweep.reports.steps import shown
from sweep.store.database_drivers import package_of
from sweep.store.paths import Paths
from sweep.tracking import check_address
from sweep.tracking.address import MEMORY, SERVERS, address_of

SECONDS = 3.0
"""The longest wait for a server."""


def tracking(uri: str | None, paths: Paths) -> Finding:
    """MLflow's store: `tracking.uri`, or the database under `mlruns/`."""
    name, key = "MLflow store", "tracking.uri"
    if uri is None:
        try:
            check_address(None, paths)
        except EnvironmentLacks as error:
            return Finding(name, "problem", error.problems[0], f"write {key}=sqlite:////FOLDER/mlflow.db")
        return sqlite_file(name, paths.mlflow_database, key)
    try:
        address = address_of(uri)
    except ConfigurationError as error:
        return misconfigured(name, "tracking.uri cannot be used", "; ".join(error.problems))
    if address.uri == MEMORY:
        return Finding(name, "ok", "memory://: nothing is recorded")
    if address.database is not None:
        return sqlite_file(name, address.database, key)
    if address.kind in SERVERS:
        place = address.shown.rstrip("/")
        return _server(name, place, key, within(SECONDS, lambda: speaks_http(f"{place}/health", SECONDS)))
    return _database_server(name, make_url(address.uri), key)


def artifacts(paths: Paths) -> list[Finding]:
    """Whether MLflow's database under `mlruns/` looks for artifacts in another folder, since this one was moved; empty if not."""
    try:
        places = where_it_was(paths)
    except EnvironmentLacks:  # a damaged database is a finding of its own
        return []
    if not places:
        return []
    message = (
        f"{shown(paths.root)} was moved or copied: MLflow still looks for artifacts in {', '.join(map(str, places))}"
    )
    return [
        Finding(
            "MLflow artifacts",
            "warning",
            message,
            "run `python -m sweep.doctor --repair`, which corrects the addresses",
        )
    ]


def storage(url: str | None, paths: Paths) -> Finding:
    """Optuna's database: `storage.url`, or the one under `mlruns/`."""
    name, key = "Optuna database", "storage.url"
    if url is None:
        return sqlite_file(name, paths.optuna_database, key)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # the error's text could contain the password
        return misconfigured(name, "storage.url is not a database URL", "storage.url=sqlite:///mlruns/optuna.db")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            message = "SQLite in memory: the study is lost when the sweep ends"
            return Finding(name, "warning", message, "storage.url=sqlite:///mlruns/optuna.db")
        return sqlite_file(name, Path(str(parsed.database)).absolute(), key)
    return _database_server(name, parsed, key)


def sqlite_file(name: str, file: Path, key: str) -> Finding:
    """Whether a SQLite database can be written to or created: creates a table and rolls back."""
    exists = file.exists()
    place = file.parent if exists else existing(file.parent)
    try:
        if exists:
            _write_and_roll_back(file)
        else:
            with tempfile.TemporaryDirectory(prefix=".goldilocks-doctor-", dir=place) as scratch:
                _write_and_roll_back(Path(scratch) / file.name)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            message = f"{file} is being written by another process"
            return Finding(name, "warning", message, "wait for it; sweeps wait up to a minute")
        return _unwritable(name, file, place, key, str(error))
    except sqlite3.DatabaseError as error:
        return Finding(
            name,
            "problem",
            f"{file} cannot be read: {error}",
            f"run `python -m sweep.doctor --repair`, which moves damaged files away, or write {key}=URL",
        )
    except OSError as error:
        return _unwritable(name, file, place, key, error.strerror or str(error))
    return Finding(name, "ok", f"SQLite, {'writable' if exists else 'does not exist yet, can be created'}")


def _unwritable(name: str, file: Path, place: Path, key: str, why: str) -> Finding:
    fix = f"chmod u+w {file if file.exists() else place}, or write {key}=sqlite:////FOLDER/{file.name}"
    return Finding(name, "problem", f"{file} cannot be written ({why})", fix)


def _write_and_roll_back(file: Path) -> None:
    connection = sqlite3.connect(file, timeout=2.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE goldilocks_doctor (here INTEGER)")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def _database_server(name: str, url: URL, key: str) -> Finding:
    try:
        dialect = url.get_dialect()
    except NoSuchModuleError:
        known = "sqlite:///FILE, or postgresql://, mysql:// with a host"
        return misconfigured(name, f"{key}: unknown kind of database '{url.drivername}'", f"write {known}")
    driver = str(dialect.driver)
    module = {"mysqldb": "MySQLdb"}.get(driver, driver)
    try:
        importlib.import_module(module)
    except ImportError:
        package = shlex.quote(package_of(module))
        message = f"the Python driver {driver} for {url.drivername} is missing"
        return Finding(name, "problem", message, f"python -m pip install {package}")
    ports = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
    host, port = url.host or "localhost", url.port or ports.get(url.get_backend_name(), 0)
    return _server(name, f"{host}:{port}", key, within(SECONDS, lambda: listens(host, port, SECONDS)))


def _server(name: str, place: str, key: str, answered: bool) -> Finding:
    if answered:
        return Finding(name, "ok", f"{place} answers")
    fix = f"start it or open the network to it, or leave {key} out for a file under mlruns/"
    return Finding(name, "problem", f"{place} does not answer within {SECONDS:g} s", fix)


def within(seconds: float, question: Callable[[], bool]) -> bool:
    """Whether `question` returns True within the time; socket timeouts do not cover the name lookup."""
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(question()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers == [True]


def listens(host: str, port: int, seconds: float) -> bool:
    """Whether the port accepts a connection; nothing is sent."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except (OSError, OverflowError):
        return False
    return True


def speaks_http(url: str, seconds: float) -> bool:
    """Whether a web server answers, a refusal included; no credentials are sent.

    Args:
        url: starts with `http://` or `https://`.
    """
    try:
        with urllib.request.urlopen(url, timeout=seconds):  # noqa: S310 (the scheme was checked)
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
