"""An MLflow server that goes away while a sweep records in it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.faults.case import Case
from benchmarks.faults.kind import LACKS, kind
from benchmarks.faults.processes import end_all, family_of, waited

_START_SECONDS = 90.0


class Server:
    """`mlflow server` on loopback, with a database of its own.

    Attributes:
        database: where its runs are.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        folder.mkdir()
        self.database = folder / "mlflow.db"
        self._folder = folder
        shutil.copy(store, self.database)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What `tracking.uri` is to be."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
                    *("--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                start_new_session=True,
            )
        if not waited(self._answers, _START_SECONDS):
            raise RuntimeError(
                f"the MLflow server does not answer: {(self._folder / 'server.log').read_text()[-2000:]}"
            )

    def kill(self) -> None:
        """Kills it with all that it started."""
        if self._process is not None:
            end_all(family_of(self._process.pid))
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1.0) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b"200" in connection.recv(100)
        except OSError:
            return False


def _with_server(case: Case) -> Server:
    server = Server(case.folder.parent / "server", case.root / "mlflow.db")
    case.cleanup.callback(server.kill)
    server.start()
    case.words.append(f"tracking.uri={server.address}")
    case.mlflow_database = server.database
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
