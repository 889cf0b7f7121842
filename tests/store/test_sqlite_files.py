"""Our own SQLite files get a write-ahead log where that is safe; other files stay unchanged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import sqlalchemy

from sweep.search.storage import existing_storage, open_storage
from sweep.store import sqlite_files
from sweep.store.paths import Paths
from sweep.tracking import open_tracker
from sweep.tracking.recorder_process import RecorderSettings, local_tracker

FULL, NORMAL = 2, 1


def journal_of(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def synchronous_of(engine: sqlalchemy.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar_one())


def on(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype=system)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)


@pytest.fixture(autouse=True)
def local_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ext4")


def test_commits_of_our_files_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "ours.db"
    assert sqlite_files.write_ahead(file)
    assert sqlite_files.write_ahead(file), "asked again it is the same"
    assert journal_of(file) == "wal"
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    assert synchronous_of(engine) == NORMAL
    engine.dispose()


def test_other_files_stay_unchanged(tmp_path: Path) -> None:
    sqlite_files.write_ahead(tmp_path / "ours.db")
    theirs = tmp_path / "theirs.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{theirs}")
    assert synchronous_of(engine) == FULL
    engine.dispose()
    assert journal_of(theirs) == "delete"


@pytest.mark.parametrize("system", ["nfs4", "cifs", "fuse.sshfs", "9p", "lustre", "who-knows"])
def test_no_log_where_several_machines_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    on(monkeypatch, system)
    file = tmp_path / "ours.db"
    assert not sqlite_files.write_ahead(file)
    assert not file.exists()


def test_an_error_is_left_to_whoever_opens_the_file(tmp_path: Path) -> None:
    assert not sqlite_files.write_ahead(tmp_path / "no-folder" / "ours.db")
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database, whatever its name says" * 100)
    assert not sqlite_files.write_ahead(broken)
    assert "no database" in broken.read_text()


def test_a_file_in_use_is_not_waited_for_long_and_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "_PATIENCE_SECONDS", 0.1)
    file = tmp_path / "busy.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t (a)")
        writer.execute("BEGIN IMMEDIATE")
        assert not sqlite_files.write_ahead(file)
        writer.execute("INSERT INTO t VALUES (1)")
        writer.execute("COMMIT")
    assert sqlite_files.write_ahead(file)
    with closing(sqlite3.connect(file)) as reader:
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_optunas_file_under_mlruns_has_a_log_and_a_file_of_ones_own_has_none(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "mlruns")
    storage = open_storage(None, paths)
    assert synchronous_of(storage.engine) == NORMAL
    storage.remove_session()
    storage.engine.dispose()
    assert journal_of(paths.optuna_database) == "wal"
    with existing_storage(None, paths) as again:
        assert again.get_all_studies() == []
    own = tmp_path / "own.db"
    storage = open_storage(f"sqlite:///{own}", paths)
    assert synchronous_of(storage.engine) == FULL
    storage.remove_session()
    storage.engine.dispose()
    assert journal_of(own) == "delete"


@pytest.mark.slow
def test_mlflows_file_under_mlruns_has_a_log_and_its_recorder_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "mlruns")
    open_tracker(None, paths, "made")
    assert journal_of(paths.mlflow_database) == "wal"
    tracker = local_tracker(
        RecorderSettings(f"sqlite:///{paths.mlflow_database}", paths.artifacts, "here:1", paths.mlflow_database)
    )
    assert synchronous_of(tracker._client._tracking_client.store.engine) == NORMAL
    theirs = tmp_path / "theirs.db"
    tracker = local_tracker(RecorderSettings(f"sqlite:///{theirs}", paths.artifacts, "here:1"))
    assert synchronous_of(tracker._client._tracking_client.store.engine) == FULL
    assert journal_of(theirs) == "delete"
