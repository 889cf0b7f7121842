"""A study that is killed at any write to Optuna's or MLflow's database and continued has each trial's result in MLflow once."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.errors import EnvironmentLacks
from sweep.store.paths import Paths
from sweep.study import recording
from sweep.study import run as study_run
from sweep.tracking.mlflow_tracker import MlflowTracker
from tests.study.driven import Killed, Trained, killed_at, planned, run

pytestmark = pytest.mark.slow


@pytest.fixture
def paths(tmp_path: Path, empty_database: Path, empty_store: Path) -> Iterator[Paths]:
    """A folder in which studies record in MLflow in this process, so that a kill hits every write."""
    made = Paths(tmp_path / "mlruns")
    made.root.mkdir()
    shutil.copy(empty_database, made.optuna_database)
    shutil.copy(empty_store, made.mlflow_database)

    def opened(*_: object) -> MlflowTracker:
        return MlflowTracker(f"sqlite:///{made.mlflow_database}", made.artifacts)

    with patch.object(study_run, "open_tracker", opened), patch.object(recording, "open_tracker", opened):
        yield made


def die() -> None:
    raise Killed


def runs_of_trials(paths: Paths) -> list[Run]:
    client = MlflowClient(f"sqlite:///{paths.mlflow_database}")
    experiment = client.get_experiment_by_name("driven")
    return [run for run in client.search_runs([experiment.experiment_id]) if "sweep.trial" in run.data.tags]


PLAN = planned("tracking.uri=null", "search.trials=3", "certify.ladder_by=train")


def test_an_undisturbed_study(paths: Paths) -> None:
    record = run(paths, PLAN)
    runs = runs_of_trials(paths)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert Counter(run.data.tags["sweep.trial"] for run in runs) == Counter(
        trial.identity for trial in record.all_trials()
    )


@pytest.mark.parametrize("seed", range(6))
def test_each_trial_has_one_finished_run(seed: int, paths: Paths) -> None:
    draw, trained = random.Random(seed), Trained()
    kills = 0
    while True:
        write = draw.randrange(8, 60)
        with killed_at(write, die) as done:
            try:
                record = run(paths, PLAN, trained)
            except (Killed, EnvironmentLacks):  # the latter from what is left of a run that is dead
                assert done[0] == write
                kills += 1
            else:
                break
        assert kills < 100
    assert kills > 2
    assert set(trained.times.values()) == {1}
    finished = Counter(run.data.tags["sweep.trial"] for run in runs_of_trials(paths) if run.info.status == "FINISHED")
    assert finished == Counter(trial.identity for trial in record.all_trials())
    assert not [run for run in runs_of_trials(paths) if run.info.status == "RUNNING"]
