"""An MLflow server that goes away while a sweep records in it."""

from __future__ import annotations

import shutil
import time

from benchmarks.faults.case import Case
from benchmarks.faults.kind import LACKS, kind
from benchmarks.faults.server import Server


def _with_server(case: Case) -> Server:
    database = case.folder.parent / "mlflow.db"
    shutil.copy(case.root / "mlflow.db", database)
    server = Server(case.folder.parent / "server", database)
    case.cleanup.callback(server.kill)
    server.start()
    case.words.append(f"tracking.uri={server.address}")
    case.mlflow_database = database
    return server


@kind("server-restarted")
def server_restarted(case: Case) -> None:
    """The MLflow server is killed in the run, and is back some seconds later."""
    server = _with_server(case)
    call = case.under_way(LACKS, says="MLflow|tracking.uri")
    server.kill()
    time.sleep(case.between(0.1, 20.0, "s"))
    server.start()
    call.end()


@kind("server-gone")
def server_gone(case: Case) -> None:
    """The MLflow server is killed in the run, and is back only for the next call."""
    server = _with_server(case)
    call = case.under_way(LACKS, says="MLflow|tracking.uri")
    server.kill()
    call.end()
    server.start()
