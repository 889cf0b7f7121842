"""MLflow's client. Import this module before any that imports MLflow: it sets the environment variables that MLflow reads on import.

Every call names its store: MLflow's global tracking URI, active run and experiment are neither read nor set.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

# MLflow reads these on import; by default it logs every migration of a new database and sends usage data.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# By default it prints the address of each run, password included.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# By default it retries a server that is gone for minutes; `sweep.tracking.record_queue` keeps records and retries itself. A request that
# MLflow repeats by itself can make a run twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

import sqlalchemy
from mlflow import MlflowClient

from sweep.store.locks import held
from sweep.tracking.address import SERVERS, Address
from sweep.tracking.store_errors import explained

_LOCK_SECONDS = 120.0
"""The longest wait for another process that opens the same database and may be creating its tables."""

_PATIENCE = 10.0
"""Seconds to wait for an answer when a store is opened."""


def open_client(address: Address) -> MlflowClient:
    """The client of a store. A database that does not exist is created, which takes seconds.

    Raises:
        ConfigurationError: MLflow has no store of that kind.
        EnvironmentLacks: the store cannot be reached, opened or created.
    """
    with explained(address), ExitStack() as stack:
        if database := address.database:
            database.parent.mkdir(parents=True, exist_ok=True)
            # two studies that start together must not both create the tables
            lock = Path(f"{database}.lock")
            stack.enter_context(held(lock, "another process opens MLflow's database", seconds=_LOCK_SECONDS))
        check_reachable(address)
        return MlflowClient(tracking_uri=address.uri, registry_uri=address.uri)


def check_reachable(address: Address) -> None:
    """Fails at once if a store does not answer; MLflow itself would retry for minutes.

    Raises:
        OSError, ImportError, sqlalchemy.exc.SQLAlchemyError: host, driver or account is missing, or the file cannot be
            opened.
    """
    if address.endpoint is not None:
        host, _ = address.endpoint
        if address.kind not in getproxies() or proxy_bypass(host):
            socket.create_connection(address.endpoint, timeout=_PATIENCE).close()
    if address.kind not in SERVERS:
        engine = sqlalchemy.create_engine(address.uri)
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
