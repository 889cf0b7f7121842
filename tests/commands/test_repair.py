"""`python -m sweep.doctor --repair` moves damaged files aside, deletes nothing, and the study ends as before."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from sweep.commands.doctor.command import doctor
from sweep.commands.doctor.repair import repair
from sweep.console.command import run as run_command
from sweep.errors import ConfigurationError, EnvironmentLacks, StudyBusy
from sweep.store.paths import Paths
from tests.study.driven import Trained, essence, planned, run


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "mlruns")


def all_bytes(paths: Paths) -> set[bytes]:
    return {file.read_bytes() for file in paths.root.rglob("*") if file.is_file()}


def half_overwritten(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size // 3)
        stream.write(b"\xa5" * (size // 2))


def test_a_damaged_database_is_created_again_from_the_trials(paths: Paths) -> None:
    first = run(paths, planned())
    half_overwritten(paths.optuna_database)
    with pytest.raises(EnvironmentLacks, match=r"is damaged .*--repair"):
        run(paths, planned())
    damaged = paths.optuna_database.read_bytes()

    lines = repair(paths)
    assert "damaged (" in lines[0]
    (aside,) = paths.root.glob("optuna.db.damaged-*[0-9]")
    assert aside.read_bytes() == damaged
    trained = Trained()
    assert essence(run(paths, planned(), trained)) == essence(first)
    assert not trained.times, "a trial whose folder is there was trained again"
    assert all("damaged (" not in line for line in repair(paths))


def test_intact_files_stay(paths: Paths) -> None:
    run(paths, planned())
    before = all_bytes(paths)
    lines = repair(paths)
    assert not [line for line in lines if "damaged (" in line]
    assert "optuna.db: ok" in lines[0]
    assert before <= all_bytes(paths)


def test_no_folder(paths: Paths) -> None:
    assert "nothing is damaged" in repair(paths)[0]
    assert not paths.root.exists()


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_hashes_that_are_not_json(content: str, paths: Paths) -> None:
    paths.models.mkdir(parents=True)
    (paths.models / "hashes.json").write_text(content)
    assert any("hashes.json: damaged" in line for line in repair(paths))
    (aside,) = paths.models.iterdir()
    assert aside.read_text() == content


def test_mlflows_database_goes_with_its_log(paths: Paths) -> None:
    paths.root.mkdir()
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
        (paths.root / name).write_text(f"no database {name}" * 100)
    before = all_bytes(paths)
    repair(paths)
    assert all_bytes(paths) == before
    assert not paths.mlflow_database.exists()
    assert len(list(paths.root.glob("mlflow.db*.damaged-*"))) == 3


def test_a_database_that_sqlite_reads_and_we_do_not(paths: Paths) -> None:
    run(paths, planned())
    with closing(sqlite3.connect(paths.optuna_database)) as database:
        database.execute("update study_user_attributes set value_json = '{' where key = 'declaration'")
        database.commit()
    line = repair(paths)[0]
    assert "the record of study driven@" in line
    assert "--repair" not in line


def test_damaged_trials_are_set_aside(paths: Paths) -> None:
    run(paths, planned())
    results = sorted((paths.root / "trials").glob("*/*/result.json"))
    results[0].write_text("{")
    scores = results[1].with_name("scores.jsonl")
    scores.write_text(scores.read_text()[:-10])
    before = all_bytes(paths)
    lines = repair(paths)
    assert len([line for line in lines if "set aside" in line and "is run again" in line]) == 2
    assert before <= all_bytes(paths)
    assert not results[0].exists()
    assert json.loads(results[2].read_text())


def test_not_while_a_sweep_runs(paths: Paths) -> None:
    lock = paths.lock("busy")
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(StudyBusy, match="busy"):
        repair(paths)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "optuna.db").write_text("no database" * 100)
    assert run_command(lambda: doctor(["--repair"])) == 0
    assert "mlruns/optuna.db: damaged (file is not a database)" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="takes no other words"):
        doctor(["--repair", "model=tiny"])
