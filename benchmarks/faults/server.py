"""An MLflow server on this machine that can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from benchmarks.faults.ports import HeldPort
from benchmarks.faults.processes import end_all, family_of, waited

_START_SECONDS = 240.0


class Server:
    """`mlflow server` on loopback.

    Args:
        folder: its own, for artifacts and its log; made here.
        database: the file that holds its runs.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        folder.mkdir()
        self._folder, self._database = folder, database
        self._port = HeldPort()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens, each time it is started."""
        return self._port.number

    @property
    def address(self) -> str:
        """What `tracking.uri` is to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--backend-store-uri", f"sqlite:///{self._database}", "--workers", "1"),
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
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b"200" in connection.recv(100)
        except OSError:
            return False
