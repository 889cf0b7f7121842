"""The morning note is kept with the sweep's run in MLflow, which is otherwise left as it is."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.nightly.morning import after
from sweep.records import Status
from sweep.store.paths import Paths
from sweep.tracking import Summary, SweepRun
from tests.nightly.made_nights import made_night, made_verdict, recorded

PLANTED = "planted-4711-secret"


@pytest.mark.slow  # loads MLflow twice
def test_the_note_is_an_artifact_of_the_nights_run(empty_store: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from sweep.tracking.mlflow_tracker import MlflowTracker

    paths = Paths(tmp_path / "mlruns")
    paths.root.mkdir()
    shutil.copy(empty_store, paths.mlflow_database)
    uri = f"sqlite:///{paths.mlflow_database}"
    tracker = MlflowTracker(uri, paths.artifacts)
    runs = []
    for _ in range(3):  # a night before, this one, and one after it
        began = time.time()
        runs.append((began, tracker.open_sweep(SweepRun("pharma", "study: pharma\n"))))
        tracker.close_sweep(runs[-1][1], Status.INTERRUPTED, Summary(), [])
        time.sleep(0.01)
    began, run = runs[1]
    night = replace(made_night(1, verdict=made_verdict()), started=began, ended=runs[2][0] - 0.005)
    client = MlflowClient(uri)
    before = client.get_run(run).info
    for _ in range(2):  # a second time replaces
        assert after(night, recorded(paths, night), paths) == ""
    about = client.get_run(run)
    assert (about.info.status, about.info.end_time) == (before.status, before.end_time) == ("KILLED", before.end_time)
    assert about.data.tags["sweep.morning"] == "pharma, night of 2026-03-01: done; certified, rank 8"
    assert [file.path for file in client.list_artifacts(run, "notes")] == ["notes/2026-03-01.md"]
    kept = client.download_artifacts(run, "notes/2026-03-01.md")
    assert Path(kept).read_text() == paths.night_note("pharma", "2026-03-01").read_text()
    for _, other in (runs[0], runs[2]):
        assert client.list_artifacts(other, "notes") == []

    away = after(night, recorded(paths), paths, tracking_uri=f"http://me:{PLANTED}@127.0.0.1:9")
    assert "not with the sweep's run in MLflow: tracking.uri: cannot record in http://127.0.0.1:9" in away
    assert PLANTED not in away


def test_nothing_is_started_where_nothing_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*words: object, **about: object) -> None:
        raise AssertionError(f"started: {words}")

    monkeypatch.setattr(subprocess, "Popen", started)
    paths = Paths(tmp_path / "mlruns")
    night = made_night(1, verdict=made_verdict())
    assert after(night, recorded(paths, night), paths) == ""
    assert after(night, recorded(paths, night), paths, tracking_uri="memory://") == ""
    assert after(replace(night, trained=0), recorded(paths, night), paths, tracking_uri="http://127.0.0.1:9") == ""
    assert not paths.mlflow_database.exists()
