"""A study that was recorded on a real MLflow server, or in a real PostgreSQL, is packed with its runs and opens in a local store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from mlflow import MlflowClient

from benchmarks.faults.server import Server
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.housekeeping.pack import pack
from sweep.housekeeping.unpack import unpack
from sweep.records import Status
from sweep.reports.steps import recorded_tracking
from sweep.search.portable import RUN_PAGE, packed_studies
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.study import recording as recording_room
from sweep.study import run as run_room
from sweep.tracking import recorder_process
from sweep.tracking.champion_model import register
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import DataSet, Summary, SweepRun
from tests.housekeeping.conftest import record_in
from tests.servers.postgres import PASSWORD, Postgres
from tests.study.driven import Trained, essence, planned, run
from tests.tracking.made_champion import made_champion

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*noload.*")]

SMALL = ("search.trials=1", "certify.rate_trials=1", "certify.ladder=[2,4]")
DATA = DataSet("made-train", "train", "ab" * 32, rows=24, kinds={"red": 8})


@pytest.fixture(autouse=True)
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_process, "limit_waits", lambda: None)  # it is for the rest of a process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    started = Server(folder / "server", folder / "mlflow.db")
    try:
        started.start()
        yield started.address
    finally:
        started.kill()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    started = Postgres()
    try:
        started.start()
        started.create("mlflow")
        yield started.address("mlflow")
    finally:
        started.remove()


@pytest.fixture(scope="module", params=["server", "postgres"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, str]:
    """A finished study, and the address of the store that has its runs, a champion among them."""
    uri: str = request.getfixturevalue(request.param)
    paths = Paths(tmp_path_factory.mktemp("recorded") / "mlruns")

    def tracker(*_: object) -> MlflowTracker:
        return MlflowTracker(uri, paths.artifacts)

    with patch.object(run_room, "open_tracker", tracker), patch.object(recording_room, "open_tracker", tracker):
        run(paths, planned(f"tracking.uri={uri}", *SMALL))
    opened = tracker()
    parent = opened.open_sweep(SweepRun("driven", "study: {}\n", params={"model": "tiny"}, data_sets=[DATA]))
    client = MlflowClient(uri, uri)
    for step, value in enumerate((1.0, float("nan"), 0.5)):
        client.log_metric(parent, "drift", value, step=step)
    opened.close_sweep(parent, Status.COMPLETE, Summary({"loss": 1.0}, note="What was found."), [])
    experiment = client.get_run(parent).info.experiment_id
    champion = made_champion(paths.root.parent / "adapter", trial="0123abcd")
    register(client, experiment, parent, champion, on_server=uri.startswith("http"))
    return paths, uri


def seen(uri: str) -> dict[str, Any]:
    """What MLflow's client sees of the study: its experiment, runs with their artifacts, data sets and models."""
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("driven")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    models = client.search_logged_models([experiment.experiment_id])
    version = client.get_model_version_by_alias("pharma-goldilocks", "champion")
    registered = client.get_registered_model("pharma-goldilocks")
    return {
        "tags": experiment.tags,
        "runs": {
            each.info.run_id: {
                "about": (each.info.run_name, each.info.status, each.info.start_time, each.info.end_time),
                "metrics": {
                    key: [(p.step, str(p.value), p.timestamp) for p in client.get_metric_history(each.info.run_id, key)]
                    for key in each.data.metrics
                },
                "latest": {key: str(value) for key, value in each.data.metrics.items()},
                "params": each.data.params,
                "tags": each.data.tags,
                "artifacts": sorted(file.path for file in client.list_artifacts(each.info.run_id)),
                "data": [
                    (used.dataset.to_dictionary(), [(tag.key, tag.value) for tag in used.tags])
                    for used in each.inputs.dataset_inputs
                ],
                "models": [made.model_id for made in each.outputs.model_outputs] if each.outputs else [],
            }
            for each in runs
        },
        "models": [(each.model_id, each.name, each.status, each.params, each.tags) for each in models],
        "version": (str(version.version), version.run_id, version.tags, version.description),
        "registered": (
            registered.tags,
            registered.description,
            {alias: str(number) for alias, number in registered.aliases.items()},
        ),
    }


def test_it_opens_in_a_local_store(recorded: tuple[Paths, str], tmp_path: Path) -> None:
    paths, uri = recorded
    said: list[str] = []
    if uri.startswith("postgresql"):
        words = r"password is not stored.*tracking=URI.*tracking=memory://"
        with pytest.raises(ConfigurationError, match=words) as error:
            pack("driven", tmp_path / "driven.zip", paths, pytest.fail)
        assert PASSWORD not in str(error.value)
    given = None if uri.startswith("http") else uri
    pack("driven", tmp_path / "driven.zip", paths, said.append, tracking_uri=given)
    assert len(said) == 1
    assert "MLflow run(s) from " in said[0]
    assert PASSWORD not in said[0]
    there = Paths(tmp_path / "there" / "mlruns")
    unpack(tmp_path / "driven.zip", there, say=pytest.fail)
    local = f"sqlite:///{there.mlflow_database}"
    expected = seen(uri)
    assert len(expected["runs"]) > 4
    assert any(each["data"] for each in expected["runs"].values())
    assert seen(local) == expected
    client = MlflowClient(local, local)
    for run_id, each in expected["runs"].items():
        assert all((Path(client.download_artifacts(run_id, file))).exists() for file in each["artifacts"])
        assert str(there.root) in client.download_artifacts(run_id, "")
    version = client.get_model_version_by_alias("pharma-goldilocks", "champion")
    assert version.source.startswith(there.root.as_uri())
    assert list(there.artifacts.glob("driven/models/*/artifacts/MLmodel"))
    with existing_storage(None, there) as storage:
        (study,) = packed_studies(storage, "driven")
    experiment = client.get_experiment_by_name("driven")
    assert experiment is not None
    assert study["user_attrs"][RUN_PAGE] == f"#/experiments/{experiment.experiment_id}/runs/{{run}}"
    assert study["user_attrs"]["recording"]["store"] == local
    assert recorded_tracking(record_in(paths)) is not None
    assert recorded_tracking(record_in(there)) is None, "its commands would lead back to the other store"
    before, trained = essence(record_in(paths)), Trained()
    assert essence(run(there, planned("tracking.uri=null", *SMALL), trained)) == before
    assert not trained.times
    assert seen(local)["runs"].keys() == expected["runs"].keys(), "a finished study is recorded once"
    assert unpack(tmp_path / "driven.zip", there, say=pytest.fail).added == 0


def test_runs_may_be_left_out(recorded: tuple[Paths, str], tmp_path: Path) -> None:
    paths, _ = recorded
    said: list[str] = []
    pack("driven", tmp_path / "driven.zip", paths, said.append, tracking_uri="memory://")
    assert len(said) == 1
    assert "are left out" in said[0]
    assert PASSWORD not in said[0]
    unpack(tmp_path / "driven.zip", Paths(tmp_path / "there"), say=said.append)
    assert said[1:] == ["its MLflow runs were not packed"]


def test_a_store_that_does_not_answer_packs_nothing(finished: Path, tmp_path: Path) -> None:
    paths = Paths(Path(shutil.copytree(finished, tmp_path / "mlruns")))
    with pytest.raises(EnvironmentLacks, match=r"127.0.0.1:1 cannot be read: .*refused"):
        pack("driven", tmp_path / "driven.zip", paths, pytest.fail, tracking_uri="http://127.0.0.1:1")
    assert not (tmp_path / "driven.zip").exists()
