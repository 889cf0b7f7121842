"""What MLflow's pages are given beside runs: data sets, series by rank, numbers to sort by, the description and the views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweep.records import Split, Stage, Status, TrialResult
from sweep.tracking import DataSet, SweepRun
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.names import Point
from sweep.tracking.port import Summary
from sweep.tracking.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]

DATA = tuple(DataSet(f"pharma-{split}", split, split * 8, 9) for split in ("train", "tune", "certify", "test"))
SWEEP = SweepRun("pharma", "study: {}\n", data_sets=DATA)
SERIES = tuple(Point("ladder/gap", 0.1 / rank, rank) for rank in (1, 2, 4))
SUMMARY = Summary(
    {"verdict/rank": 4.0}, {}, SERIES, 1_700_000_100.0, "Answer: see [runs](#/experiments/{experiment}).", "f1"
)


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return f"sqlite:///{tmp_path}/mlflow.db"


def context(client: MlflowClient, run_id: str) -> dict[str, str]:
    inputs = client.get_run(run_id).inputs.dataset_inputs
    return {each.tags[0].value: f"{each.dataset.name} {each.dataset.digest}" for each in inputs}


def test_a_trial_uses_what_it_saw_and_sorts_by_its_rank(uri: str, tmp_path: Path, complete: TrialResult) -> None:
    tracker, client = MlflowTracker(uri, tmp_path / "artifacts"), MlflowClient(uri)
    parent = tracker.open_sweep(SWEEP)
    spec = replace(complete.spec, stage=Stage.CERTIFY, split=Split.CERTIFY)
    child = tracker.open_trial(parent, spec)
    base = tracker.open_trial(parent, replace(spec, stage=Stage.BASE, arm=None))
    assert set(context(client, parent)) == {"train", "tune", "certify", "test"}
    assert context(client, child) == {
        "train": "pharma-train traintraintraint",
        "certify": "pharma-certify certifycertifyce",
    }
    assert set(context(client, base)) == {"certify"}
    assert client.get_run(child).data.metrics == {"rank": 16.0, "train/peak_learning_rate": 1e-3}
    assert client.get_run(base).data.metrics == {"rank": 0.0}
    tags = client.get_run(child).data.tags
    assert (tags["sweep.method"], tags["sweep.split"]) == ("lora", "certify")


def test_recording_an_outcome_again_adds_nothing(uri: str, tmp_path: Path) -> None:
    """As after a kill between the store's commit and the recorder's answer."""
    client = MlflowClient(uri)
    table = tmp_path / "changed_answers.json"
    table.write_text('{"columns": ["prompt"], "data": [["a"]]}')
    recorder = Recorder(uri, tmp_path / "artifacts", tmp_path / "kept")
    parent = recorder.open_sweep(SWEEP)
    assert recorder.close_sweep(parent, Status.COMPLETE, SUMMARY, [table])
    later = Recorder(uri, tmp_path / "artifacts", tmp_path / "kept")
    later.resume_sweep(parent, SWEEP)
    assert later.close_sweep(parent, Status.COMPLETE, SUMMARY, [table])
    gaps = [(entry.step, entry.value) for entry in client.get_metric_history(parent, "ladder/gap")]
    assert sorted(gaps) == [(1, 0.1), (2, 0.05), (4, 0.025)]
    assert len(client.get_metric_history(parent, "verdict/rank")) == 1
    run = client.get_run(parent)
    assert '"type": "table"' in run.data.tags["mlflow.loggedArtifacts"]
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.note.content"] == f"Answer: see [runs](#/experiments/{experiment.experiment_id})."
    assert len([tag for tag in experiment.tags if tag.startswith("mlflow.sharedViewState.goldilocks-")]) == 4


def test_what_a_person_wrote_stays(uri: str, tmp_path: Path) -> None:
    tracker, client = MlflowTracker(uri, tmp_path / "artifacts"), MlflowClient(uri)
    parent = tracker.open_sweep(SWEEP)
    tracker.close_sweep(parent, Status.COMPLETE, SUMMARY, [])
    experiment = client.get_run(parent).info.experiment_id
    tracker.close_sweep(parent, Status.COMPLETE, replace(SUMMARY, note="Another answer."), [])
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "Another answer."
    view = "mlflow.sharedViewState.goldilocks-ladder"
    client.set_experiment_tag(experiment, "mlflow.note.content", "Mine.")
    client.set_experiment_tag(experiment, view, "mine")
    tracker.close_sweep(parent, Status.COMPLETE, SUMMARY, [])
    tags = client.get_experiment(experiment).tags
    assert (tags["mlflow.note.content"], tags[view]) == ("Mine.", "mine")


def test_the_load_of_the_machine_is_sampled_on_request(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    client = MlflowClient(uri)
    for asked in (False, True):
        recorder = Recorder(uri, tmp_path / "artifacts", tmp_path / "kept")
        parent = recorder.open_sweep(replace(SWEEP, study=f"asked-{asked}", system_metrics=asked))
        if asked:
            waited = 0
            while not client.get_run(parent).data.metrics and waited < 200:
                waited += recorder.settle()
                recorder._queue.receive(0.1)
        assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
        sampled = set(client.get_run(parent).data.metrics)
        assert ("system/cpu_utilization_percentage" in sampled) is asked


def test_a_journal_of_an_earlier_version_is_recorded(uri: str, tmp_path: Path) -> None:
    from sweep.tracking.journal import Journal, JournalFolder

    tracker = MlflowTracker(uri, tmp_path / "artifacts")
    parent = tracker.open_sweep(SWEEP)
    journal = Journal(JournalFolder(tmp_path / "kept", uri), "pharma", {"sweep": parent, "params": {}})
    journal.append(
        {"do": "close_sweep", "run": parent, "status": "complete", "metrics": {"a": 1.0}, "tags": {}, "files": []}
    )
    Recorder(uri, tmp_path / "artifacts", tmp_path / "kept").open_sweep(SWEEP)
    run = MlflowClient(uri).get_run(parent)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"a": 1.0})
