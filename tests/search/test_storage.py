"""Optuna's database opens in any folder or raises an error that says what to do, and is always closed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from sqlalchemy import event

from sweep.errors import ConfigurationError, EnvironmentLacks, Interrupted
from sweep.search.reading import studies_of, study_names
from sweep.search.storage import existing_storage, open_storage, opened_storage
from sweep.store.paths import Paths
from tests.store.test_locks import ticking
from tests.study.driven import Trained, planned, run

ODD = ["a%41b", "a?b", "a#b", "with space", "naïve-日本", "{brace}", "a&b=c;d", "100%", "'quoted\""]


def paths_with(empty_database: Path, folder: Path) -> Paths:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, folder / "optuna.db")
    return Paths(folder)


@pytest.mark.parametrize("name", ODD)
def test_any_folder_works(name: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path / name / "mlruns")
    with opened_storage(None, paths) as storage:
        optuna.create_study(storage=storage, study_name="s")
    assert paths.optuna_database.is_file()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with existing_storage(None, paths) as storage:
        assert optuna.get_all_study_names(storage) == ["s"]


@pytest.mark.parametrize("name", ["a%41b", "a?b"])
def test_a_folder_that_mlflow_cannot_use_is_reported_before_training(name: str, tmp_path: Path) -> None:
    paths, trained = Paths(tmp_path / name / "mlruns"), Trained()
    with pytest.raises(EnvironmentLacks, match=r"rename the folder, or choose another place: tracking\.uri="):
        run(paths, planned("tracking.uri=null"), trained)
    assert not paths.root.exists()
    assert run(paths, planned(), trained).complete(), "it works without MLflow's own file"


def test_no_file_is_left_open(empty_database: Path, tmp_path: Path) -> None:
    paths = paths_with(empty_database, tmp_path)
    with opened_storage(None, paths) as storage:
        optuna.create_study(storage=storage, study_name="s")
        assert open_files(paths)
    assert not open_files(paths)


def open_files(paths: Paths) -> list[str]:
    files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [name for name in files if name.startswith(str(paths.optuna_database))]


def test_no_study_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no study here"), existing_storage(None, Paths(tmp_path)):
        pass
    assert not list(tmp_path.iterdir())


class TestDamage:
    REPAIR = r"optuna\.db is damaged \(.*\); run `\S*python -m sweep\.doctor --repair`"

    def test_of_the_whole_file(self, tmp_path: Path) -> None:
        (tmp_path / "optuna.db").write_bytes(b"no database" * 1000)
        with pytest.raises(EnvironmentLacks, match=self.REPAIR), opened_storage(None, Paths(tmp_path)):
            pass

    def test_that_shows_only_when_it_is_read(self, empty_database: Path, tmp_path: Path) -> None:
        paths = paths_with(empty_database, tmp_path)
        with opened_storage(None, paths) as storage:
            study = optuna.create_study(storage=storage, study_name="s")
            study.set_user_attr("long", "x" * 200_000)
            with closing(sqlite3.connect(paths.optuna_database)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = paths.optuna_database.stat().st_size
        with paths.optuna_database.open("r+b") as stream:
            stream.seek(size // 2)
            stream.write(os.urandom(size // 2))

        def read() -> None:
            with opened_storage(None, paths) as storage:
                optuna.load_study(storage=storage, study_name="s").user_attrs  # noqa: B018

        with pytest.raises(EnvironmentLacks, match=self.REPAIR):
            read()

    def test_of_a_named_file(self, tmp_path: Path) -> None:
        (tmp_path / "own.db").write_bytes(b"no database" * 1000)
        with (
            pytest.raises(EnvironmentLacks, match="move it away or name another"),
            opened_storage(f"sqlite:///{tmp_path}/own.db", Paths(tmp_path)),
        ):
            pass


def test_a_full_disk(empty_database: Path, tmp_path: Path) -> None:
    paths = paths_with(empty_database, tmp_path)

    def fill() -> None:
        with opened_storage(None, paths) as storage:
            study = optuna.create_study(storage=storage, study_name="s")
            storage.engine.dispose()
            event.listen(storage.engine, "connect", lambda own, _: own.execute("PRAGMA max_page_count = 1"))
            study.set_user_attr("long", "x" * 500_000)

    with pytest.raises(EnvironmentLacks, match=r"cannot be written \(database or disk is full\); free space"):
        fill()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(OSError, match="mlruns"), opened_storage(None, Paths(tmp_path / "mlruns")):
        pass


class TestLock:
    def test_a_wait_is_announced_and_ends(self, tmp_path: Path) -> None:
        said: list[str] = []
        with (
            ticking() as clock,
            FileLock(tmp_path / "optuna.db.lock"),
            pytest.raises(
                EnvironmentLacks, match=r"another process opens the Optuna database and has held .* for 60 s"
            ),
        ):
            open_storage(None, Paths(tmp_path), say=said.append)
        assert 60 <= clock.seconds < 70
        (line,) = said
        assert "waiting for" in line
        assert "optuna.db.lock" in line

    def test_a_wait_ends_when_the_sweep_is_asked_to_stop(self, tmp_path: Path) -> None:
        def check() -> None:
            raise Interrupted("stopped")

        with FileLock(tmp_path / "optuna.db.lock"), pytest.raises(Interrupted):
            open_storage(None, Paths(tmp_path), check=check)


def test_a_damaged_study_keeps_no_other_from_being_read(empty_database: Path, tmp_path: Path) -> None:
    paths = paths_with(empty_database, tmp_path)
    with opened_storage(None, paths) as storage:
        for name in ("damaged@1", "whole@1"):
            optuna.create_study(storage=storage, study_name=name).set_user_attr("opened", 1.0)
    with closing(sqlite3.connect(paths.optuna_database)) as database, database:
        database.execute("UPDATE study_user_attributes SET value_json = '{' WHERE study_id = 1")
    with existing_storage(None, paths) as storage:
        assert optuna.get_all_study_names(storage) == ["damaged@1", "whole@1"]
        assert study_names(storage) == ["damaged", "whole"]
        assert optuna.load_study(study_name="whole@1", storage=storage).user_attrs == {"opened": 1.0}
        with pytest.raises(EnvironmentLacks, match=r"the record of study damaged@1 in the Optuna database is damaged"):
            studies_of(storage, "damaged")
