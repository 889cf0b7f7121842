"""Optuna databases, created once and copied, since creating the tables is slow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import event

from sweep.search.storage import open_storage
from sweep.store.paths import Paths


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = Paths(tmp_path_factory.mktemp("optuna"))
    storage = open_storage(None, paths)
    storage.remove_session()
    storage.engine.dispose()
    return paths.optuna_database


@pytest.fixture
def new_storage(empty_database: Path, tmp_path: Path) -> Iterator[Callable[[], RDBStorage]]:
    """Each call opens a new, empty database."""
    opened: list[RDBStorage] = []

    def make() -> RDBStorage:
        paths = Paths(tmp_path / f"storage-{len(opened)}")
        paths.root.mkdir()
        shutil.copy(empty_database, paths.optuna_database)
        storage = open_storage(None, paths)
        storage.engine.dispose()
        event.listen(storage.engine, "connect", _without_waiting_for_the_disk)
        opened.append(storage)
        return storage

    yield make
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def _without_waiting_for_the_disk(connection: Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
