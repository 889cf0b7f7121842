"""Planned minutes against real ones: what a study took, and the table."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.plan_minutes import BAR, Prediction, copied, seconds_taken
from benchmarks.plan_minutes_table import minutes_table


def write_runs(folder: Path) -> Path:
    """MLflow's tables, as far as they are read: two finished sweeps with a trial each, and a killed one."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("create table experiments (experiment_id integer, name text)")
        database.execute(
            "create table runs (run_uuid text, experiment_id integer, status text, start_time integer, end_time integer)"
        )
        database.execute("create table tags (run_uuid text, key text, value text)")
        database.executemany("insert into experiments values (?, ?)", [(1, "boxes"), (2, "other")])
        runs = [
            ("a", 1, "FINISHED", 0, 60_000),
            ("a1", 1, "FINISHED", 1000, 50_000),
            ("b", 1, "FINISHED", 100_000, 130_000),
            ("c", 1, "KILLED", 200_000, 900_000),
            ("d", 2, "FINISHED", 0, 5000),
        ]
        database.executemany("insert into runs values (?, ?, ?, ?, ?)", runs)
        database.execute("insert into tags values ('a1', 'mlflow.parentRunId', 'a')")
    return folder


def test_a_study_took_what_its_finished_runs_took(tmp_path: Path) -> None:
    store = write_runs(tmp_path / "store")
    assert seconds_taken(store / "mlflow.db", "boxes") == 90.0
    with pytest.raises(LookupError, match="nothing: MLflow has no finished run"):
        seconds_taken(store / "mlflow.db", "nothing")


def test_a_store_is_read_from_a_copy(tmp_path: Path) -> None:
    store = write_runs(tmp_path / "store")
    (store / "mlflow.db.lock").touch()
    read = copied(store, tmp_path / "copy")
    assert [file.name for file in read.root.iterdir()] == ["mlflow.db"]


def test_the_table_says_what_is_right() -> None:
    rows = [
        Prediction("boxes", "products", 80.0, 100.0, 150.0, 120.0, same_data=True),
        Prediction("boxes", "others", 80.0, 100.0, 150.0, 160.0, same_data=False),
    ]
    assert [each.is_right for each in rows] == [True, False]
    text = minutes_table({"predictions": [asdict(each) for each in rows], "bar": BAR})
    assert "| `boxes` | matrix products | 1.3 min | 1.7 min | 2.5 min | 2.0 min | 0.83 | yes |" in text
    assert "| `boxes`, on data that has changed since | trials of other studies |" in text
    assert text.endswith("1 of 2 plans are within 30% of what the study took.")
