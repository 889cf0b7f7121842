"""A real PostgreSQL server on loopback, in a folder of its own (Debian: package postgresql)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.faults.ports import HeldPort

PASSWORD = "Geheim-4711"  # noqa: S105 (made up, so that tests can look for it)
USER = "goldilocks"


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, which Debian keeps off PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "postgres").exists()), None)


class Postgres:
    """One server; the account `goldilocks` owns its databases and has a password."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL is not installed: as root, `apt-get install postgresql` (.ci/run does)")
        self._programs = found
        # PostgreSQL refuses to run as root
        self._account = "postgres" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="goldilocks-postgres-"))
        if self._account is not None:
            try:
                shutil.chown(self.folder, self._account)
            except LookupError:
                pytest.skip("PostgreSQL's account is missing, and as root it does not run")
        self._port = HeldPort()
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self._account is not None:
            shutil.chown(secret, self._account)
        self._run(
            "initdb", "-D", self._data, "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-N", "-E", "UTF8"
        )
        secret.unlink()

    @property
    def port(self) -> int:
        """Where it listens, each time it is started."""
        return self._port.number

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        account = pwd.getpwnam(self._account)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            **self._as_account(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Starts it and waits until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "20",
            "shared_buffers": "16MB",
        }
        log = self.folder / "server.log"
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        self._run("pg_ctl", "-D", self._data, "-l", str(log), "-w", "-t", "200", "-o", options, "start")

    def stop(self) -> None:
        """Stops it at once, as a crash would; does nothing if it is not running."""
        if (Path(self._data) / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "-t", "200", "stop")

    def remove(self) -> None:
        """Stops it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, database: str) -> None:
        """Creates an empty database."""
        self.execute("postgres", f'CREATE DATABASE "{database}"')

    def execute(self, database: str, *statements: str) -> list[Any]:
        """Runs statements directly, past any proxy; returns the rows of the last one."""
        with psycopg.connect(self.address(database, scheme="postgresql"), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def address(
        self,
        database: str,
        *,
        port: int | None = None,
        password: str | None = PASSWORD,
        scheme: str = "postgresql+psycopg",
    ) -> str:
        """The address of a database.

        Args:
            port: of a proxy; by default the server's own.
            password: None to leave it out.
        """
        account = USER if password is None else f"{USER}:{password}"
        return f"{scheme}://{account}@127.0.0.1:{port or self.port}/{database}"
