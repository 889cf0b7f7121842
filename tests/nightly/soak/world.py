"""The world of a soak: a folder with two schedules, their data, a disk, a database server, and a tracking server."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.faults.server import Server
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, save
from sweep.store.paths import Paths
from tests.commands.test_refresh import WORDS, write
from tests.conftest import write_made_task
from tests.faults.conftest import Sweep
from tests.nightly.made import moment, schedule
from tests.nightly.services import web_server
from tests.servers.postgres import PASSWORD, USER, Postgres
from tests.servers.proxy import Proxy

ROLLING, SEARCH = "rolling", "search"
"""The schedule whose data change and the one whose search grows, and their studies."""

GROWING = ("train.steps=20", "engine.slots=1")
"""The words of the search, besides its number of trials: one after the other, so that the order of results is always the same."""

FIRST = "2027-02-05"
"""The first night. In Casablanca the clocks are set back two nights later, and forward on the 38th night."""

_DISK_BYTES = 3 * 10**9
_LEFT_BYTES = 20_000
_ATTEMPTS = 20


@dataclass
class World:
    """What nights happen in.

    Attributes:
        folder: where the ticks run.
        trials: of the search.
        versions: copies of the changing data, one for each version so far.
        web, database: the ways to the two servers.
        posts: the notes that a web service has received.
        small_disk: whether `folder` is on a disk of its own, which can be filled.
    """

    folder: Path
    web: Proxy
    database: Proxy
    postgres: Postgres
    server: Server
    posts: list[tuple[str, dict[str, object]]]
    notify: str
    small_disk: bool
    trials: int = 1
    versions: list[Path] = field(default_factory=list)

    @property
    def paths(self) -> Paths:
        return Paths(self.folder / "mlruns")

    @property
    def rolling_data(self) -> Path:
        return self.folder.parent / "rolling-data"

    def install(self) -> None:
        """Installs the schedules as they are to be now."""
        rolling = Sweep(self.folder, self.rolling_data).words(*WORDS, f"study.name={ROLLING}")[3:]
        self._save(ROLLING, rolling, "02:30", "06:30", "Africa/Casablanca", refresh=True)
        self.install_search()

    def install_search(self) -> None:
        """Installs the search with the present number of trials."""
        words = Sweep(self.folder, self.folder.parent / "search-data").words(
            *GROWING,
            f"study.name={SEARCH}",
            f"search.trials={self.trials}",
            f"tracking.uri=http://127.0.0.1:{self.web.port}",
            f"storage.url={self.postgres.address('optuna', port=self.database.port, password=None)}",
        )[3:]
        self._save(SEARCH, words, "23:30", "05:00", "Europe/Berlin", environment="night.env")

    def _save(self, name: str, words: list[str], at: str, deadline: str, zone: str, **changes: object) -> None:
        hours = schedule(at, deadline, zone).hours
        made = schedule(
            name=name,
            study=name,
            words=tuple(words),
            hours=hours,
            since=moment(f"{FIRST} 00:00", "UTC") - 7200.0,
            memory=None,
            disk=None,
            notify=(self.notify,),
            **changes,  # type: ignore[arg-type]
        )
        self.paths.root.mkdir(exist_ok=True)
        save(self.paths, made)

    def schedule(self, name: str) -> Schedule:
        """An installed schedule."""
        return load(self.paths, name)

    def change_data(self) -> None:
        """The next version of the changing data; the first two teach something new, later ones are corrections."""
        number, data = len(self.versions), self.rolling_data
        if number == 0:
            data.mkdir()
            write(data, ["red", "green", "blue"], train=48, validation=90)
        elif number == 1:
            write(data, ["a heavy purple", "a long orange"], train=48, validation=90, first=1000)
        else:
            _correct(data / "train.jsonl", number)
            write(data, ["white", "black"][number % 2 :], train=4, validation=24, first=1000 * number)
        kept = self.folder.parent / f"version-{number}"
        shutil.copytree(data, kept)
        self.versions.append(kept)

    def fill_disk(self) -> None:
        """Fills the disk of the folder, if it has one of its own."""
        assert self.small_disk, "never the disk that other things are on"
        with (self.folder / "filler").open("wb") as stream:
            for _ in range(_ATTEMPTS):
                size, free = os.fstat(stream.fileno()).st_size, psutil.disk_usage(str(self.folder)).free
                try:
                    os.posix_fallocate(stream.fileno(), size, max(1, free - _LEFT_BYTES))
                except OSError as error:  # somebody else has written meanwhile
                    if error.errno != errno.ENOSPC:
                        raise
                else:
                    return

    def free_disk(self) -> None:
        """Removes what has filled it."""
        (self.folder / "filler").unlink(missing_ok=True)

    def break_servers(self) -> None:
        """Neither server can be reached any more."""
        self.web.break_(away=True)
        self.database.break_(away=True)

    def repair_servers(self) -> None:
        """Both can be reached again."""
        self.web.repair()
        self.database.repair()


@contextmanager
def world(folder: Path, empty_store: Path) -> Iterator[World]:
    """A new world in a new folder.

    Args:
        empty_store: MLflow's database with its tables.
    """
    with ExitStack() as cleanup:
        here = folder / "here"
        here.mkdir(parents=True)
        small_disk = _mounted(here, cleanup)
        postgres = Postgres()
        cleanup.callback(postgres.remove)
        postgres.start()
        postgres.create("optuna")
        shutil.copy(empty_store, folder / "mlflow.db")
        server = Server(folder / "server", folder / "mlflow.db")
        cleanup.callback(server.kill)
        server.start()
        web, database = Proxy(server.port), Proxy(postgres.port)
        cleanup.callback(web.close)
        cleanup.callback(database.close)
        port, posts = cleanup.enter_context(web_server())
        secret = here / "pgpass"
        secret.write_text(f"127.0.0.1:*:optuna:{USER}:{PASSWORD}\n")
        secret.chmod(0o600)
        (here / "night.env").write_text(f"PGPASSFILE={secret}\n")
        write_made_task(folder / "search-data")
        made = World(here, web, database, postgres, server, posts, f"json://127.0.0.1:{port}/notes", small_disk)
        made.paths.root.mkdir()
        shutil.copy(empty_store, made.paths.root)
        made.change_data()
        made.install()
        yield made


def _mounted(folder: Path, cleanup: ExitStack) -> bool:
    """Mounts a disk of its own on the folder, if this machine lets us."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        return False
    cleanup.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True, capture_output=True)
    return True


def _correct(file: Path, number: int) -> None:
    """Removes one row and relabels another."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    del rows[number]
    rows[number + 3]["completion"] = "corrected"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
