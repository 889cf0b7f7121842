"""A study that was recorded in `mlruns/mlflow.db` first and in another store later is packed as one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweep.housekeeping.pack import pack
from sweep.housekeeping.unpack import unpack
from sweep.records import Status
from sweep.store.paths import Paths
from sweep.tracking.champion_model import register
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import DataSet, Summary, SweepRun
from tests.tracking.made_champion import made_champion

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*noload.*")]

DATA = DataSet("made-train", "train", "ab" * 32, rows=24, kinds={"red": 8})
MODEL = "pharma-goldilocks"


def store_with(database: Path, artifacts: Path, scratch: Path, trials: tuple[str, ...]) -> tuple[MlflowClient, str]:
    """A store with a run of the study, and its parent run; the champions of these trials are registered one after the other."""
    uri = f"sqlite:///{database}"
    tracker = MlflowTracker(uri, artifacts)
    run = tracker.open_sweep(SweepRun("driven", "study: {}\n", params={"model": "tiny"}, data_sets=[DATA]))
    tracker.close_sweep(run, Status.COMPLETE, Summary({"loss": 1.0}, note="What was found."), [])
    client = MlflowClient(uri, uri)
    experiment = client.get_run(run).info.experiment_id
    for trial in trials:
        register(client, experiment, run, made_champion(scratch / trial, trial=trial), on_server=False)
    return client, run


@pytest.fixture
def both(paths: Paths, empty_store: Path, tmp_path: Path) -> tuple[Paths, str, tuple[str, str]]:
    """The study's folder, the other store's address, and the runs of both."""
    shutil.copy(empty_store, paths.mlflow_database)
    other = Path(shutil.copy(empty_store, tmp_path / "served.db"))
    _, first = store_with(paths.mlflow_database, paths.artifacts, tmp_path / "here", ("0000000a",))
    _, second = store_with(other, tmp_path / "served", tmp_path / "there", ("0000000b", "0000000c"))
    return paths, f"sqlite:///{other}", (first, second)


def test_the_registered_model_is_that_of_one_store(both: tuple[Paths, str, tuple[str, str]], tmp_path: Path) -> None:
    """Versions of both have the same numbers: together, an alias would lead to what another store calls so."""
    paths, uri, _ = both
    said: list[str] = []
    pack("driven", tmp_path / "driven.zip", paths, said.append, tracking_uri=uri)
    there = Paths(tmp_path / "opened" / "mlruns")
    unpack(tmp_path / "driven.zip", there, say=pytest.fail)
    local = f"sqlite:///{there.mlflow_database}"
    client = MlflowClient(local, local)
    versions = {str(each.version): each.tags["sweep.trial"] for each in client.search_model_versions(f"name='{MODEL}'")}
    assert versions == {"1": "0000000b", "2": "0000000c"}
    assert str(client.get_model_version_by_alias(MODEL, "champion").version) == "2"
    assert [line for line in said if MODEL in line and "mlflow.db" in line]


def test_the_runs_of_both_have_their_data_sets(both: tuple[Paths, str, tuple[str, str]], tmp_path: Path) -> None:
    paths, uri, runs = both
    pack("driven", tmp_path / "driven.zip", paths, lambda text: None, tracking_uri=uri)
    there = Paths(tmp_path / "opened" / "mlruns")
    unpack(tmp_path / "driven.zip", there, say=pytest.fail)
    local = f"sqlite:///{there.mlflow_database}"
    client = MlflowClient(local, local)
    for run in runs:
        used = client.get_run(run).inputs.dataset_inputs
        assert [each.dataset.name for each in used] == [DATA.name]
        assert used[0].tags
