"""A store of MLflow with a certified study, recorded by the tracker itself from made-up results; nothing is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from sweep.records import Status, StudyRecord
from sweep.study.mlflow_page import last_moment
from sweep.study.recording import summary
from sweep.tracking import DataSet, SweepRun
from sweep.tracking.mlflow_tracker import MlflowTracker
from tests.conftest import cut_record
from tests.tracking.made_champion import made_champion

STUDY = "made"
DATA = tuple(
    DataSet(f"boxes-{split}", split, f"{number}" * 16, 40) for number, split in enumerate(("train", "certify"))
)


def record() -> StudyRecord:
    return cut_record(seeds=3, final=(4, 32))


def record_study(uri: str, folder: Path) -> str:
    """Records the study; returns the id of its experiment."""
    made = record()
    tracker = MlflowTracker(uri, folder / "artifacts")
    parent = tracker.open_sweep(SweepRun(STUDY, "study:\n  name: made\n", params={"model": "tiny"}, data_sets=DATA))
    for trial in made.all_trials():
        moment = replace(trial.result, started=last_moment(made) - 100)
        tracker.close_trial(tracker.open_trial(parent, trial.spec), moment, [])
    files = [folder / name for name in ("index.html", "changed_answers.json")]
    files[0].write_text("<h1>The report</h1>")
    table = {"columns": ["change", "prompt", "adapter answer"], "data": [["better", "the red box", "red"]]}
    files[1].write_text(json.dumps(table))
    tracker.register(parent, replace(made_champion(folder / "adapter"), model=f"{STUDY}-goldilocks"))
    tracker.close_sweep(parent, Status.COMPLETE, summary(made), files)
    return str(MlflowClient(uri).get_run(parent).info.experiment_id)
