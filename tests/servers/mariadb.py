"""A real MariaDB server on loopback, in a folder of its own (Debian: package mariadb-server)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from benchmarks.faults.ports import HeldPort
from benchmarks.faults.processes import waited
from tests.servers.postgres import PASSWORD, USER


class Mariadb:
    """One server; the account `goldilocks` may do everything and has a password."""

    def __init__(self) -> None:
        install, server = (shutil.which(name) for name in ("mariadb-install-db", "mariadbd"))
        if install is None or server is None:
            pytest.skip("MariaDB is not installed: as root, `apt-get install mariadb-server` (.ci/run does)")
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="goldilocks-mariadb-"))
        account = pwd.getpwuid(os.geteuid()).pw_name
        if account == "root":
            account = "mysql"
            try:
                shutil.chown(self.folder, account)
            except LookupError:
                pytest.skip("MariaDB's account is missing, and as root it does not run")
        self._options = ["--no-defaults", f"--datadir={self.folder / 'data'}", f"--user={account}"]
        self._port = HeldPort()
        self._process: subprocess.Popen[bytes] | None = None
        made = subprocess.run(
            [install, *self._options, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr

    @property
    def port(self) -> int:
        """Where it listens, each time it is started."""
        return self._port.number

    def start(self) -> None:
        """Starts it and waits until it answers."""
        own = [
            *("--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.folder / 'socket'}"),
            *("--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"),
            f"--pid-file={self.folder / 'pid'}",
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([self._server, *self._options, *own], stdout=log, stderr=log)
        assert waited(self._answers, 240.0), (self.folder / "server.log").read_text()
        with closing(pymysql.connect(host="127.0.0.1", port=self.port, user="root")) as connection:
            cursor = connection.cursor()
            cursor.execute(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON *.* TO '{USER}'@'%'")

    def stop(self) -> None:
        """Stops it at once, as a crash would; does nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stops it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, database: str) -> None:
        """Creates an empty database."""
        self.execute("mysql", f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")

    def execute(self, database: str, *statements: str) -> list[Any]:
        """Runs statements directly, past any proxy; returns the rows of the last one."""
        account = {"user": USER, "password": PASSWORD}
        with closing(
            pymysql.connect(host="127.0.0.1", port=self.port, database=database, autocommit=True, **account)
        ) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def address(self, database: str, *, port: int | None = None, password: str = PASSWORD) -> str:
        """The address of a database; `port` is that of a proxy, by default the server's own."""
        return f"mysql+pymysql://{USER}:{password}@127.0.0.1:{port or self.port}/{database}"

    def _answers(self) -> bool:
        with suppress(pymysql.err.OperationalError):
            pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=1).close()
            return True
        return False
