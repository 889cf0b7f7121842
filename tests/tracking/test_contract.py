"""The contract of every tracker: MLflow's SQLite store, in this process and in the recorder's, and the in-memory tracker."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from benchmarks.faults.server import Server
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import Split, Stage, Status, StepLoss, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.tracking import SweepRun, Tracker, mlflow_client, names, open_tracker
from sweep.tracking.memory_tracker import MemoryRun, MemoryTracker
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import RecordRefused, Summary
from sweep.tracking.recorder import Recorder

# MLflow's models ask SQLAlchemy 2.1 for a loader that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

SWEEP = SweepRun(
    study="pharma",
    config_yaml="study:\n  name: pharma\n",
    tags={"team": "Größe"},
    params={"model": "smollm2-135m", "task": "pharma", "quant": "nf4", "lora.r": "64", "engine": "trainer"},
    command="python -m sweep +study=pharma",
)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A run as the store returns it."""

    id: str
    name: str
    status: str
    ended: bool
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    history: dict[str, list[tuple[int, float]]]
    artifacts: set[str]


class Store(Protocol):
    """A tracker's store, read and changed without the tracker."""

    tracker: Tracker

    def reopen(self) -> Tracker:
        """The tracker that the next process would open."""

    def runs(self, experiment: str = "pharma") -> dict[str, Seen]: ...

    def start_foreign(self, experiment: str, tags: dict[str, str]) -> str:
        """A running run that no sweep started."""


class MemoryStore:
    def __init__(self) -> None:
        self.tracker = MemoryTracker()

    def reopen(self) -> Tracker:
        return self.tracker

    def runs(self, experiment: str = "pharma") -> dict[str, Seen]:
        return {run.id: self._seen(run) for run in self.tracker.runs.values() if run.experiment == experiment}

    def start_foreign(self, experiment: str, tags: dict[str, str]) -> str:
        self.tracker.runs["foreign"] = MemoryRun("foreign", experiment, "foreign", tags)
        return "foreign"

    def _seen(self, run: MemoryRun) -> Seen:
        history: dict[str, list[tuple[int, float]]] = {}
        for point in run.points:
            history.setdefault(point.metric, []).append((point.step, point.value))
        return Seen(
            run.id,
            run.name,
            run.status,
            run.status != "RUNNING",
            run.tags,
            run.params,
            run.metrics,
            history,
            set(run.artifacts),
        )


class MlflowStore:
    def __init__(self, uri: str, artifact_root: Path | None) -> None:
        self.uri = uri
        self.artifact_root = artifact_root
        self.tracker: Tracker = MlflowTracker(uri, artifact_root)
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def reopen(self) -> Tracker:
        return MlflowTracker(self.uri, self.artifact_root)

    def runs(self, experiment: str = "pharma") -> dict[str, Seen]:
        known = self.client.get_experiment_by_name(experiment)
        return {run.info.run_id: self._seen(run) for run in self.client.search_runs([known.experiment_id])}

    def start_foreign(self, experiment: str, tags: dict[str, str]) -> str:
        known = self.client.get_experiment_by_name(experiment)
        return self.client.create_run(known.experiment_id, tags=tags).info.run_id

    def _seen(self, run: Any) -> Seen:
        run_id = run.info.run_id
        return Seen(
            run_id,
            run.info.run_name,
            run.info.status,
            run.info.end_time is not None,
            run.data.tags,
            run.data.params,
            run.data.metrics,
            {
                metric: [(entry.step, entry.value) for entry in self.client.get_metric_history(run_id, metric)]
                for metric in run.data.metrics
            },
            set(self._files(run_id, None)),
        )

    def _files(self, run_id: str, folder: str | None) -> Iterator[str]:
        for entry in self.client.list_artifacts(run_id, folder):
            if entry.is_dir:
                yield from self._files(run_id, entry.path)
            else:
                yield entry.path


class RecorderStore(MlflowStore):
    """MLflow in a separate process; every record is written before the store is read."""

    tracker: Recorder

    def __init__(self, uri: str, artifact_root: Path | None) -> None:
        super().__init__(uri, artifact_root)
        self.folder = Path(uri.removeprefix("sqlite:///")).parent / "kept"
        self.tracker = Recorder(uri, artifact_root, self.folder)

    def reopen(self) -> Tracker:
        return Recorder(self.uri, self.artifact_root, self.folder)

    def runs(self, experiment: str = "pharma") -> dict[str, Seen]:
        self.tracker.settle()
        return super().runs(experiment)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with MLflow's schema; creating one takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowTracker(f"sqlite:///{path}", None)
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "mlflow.db"))


@pytest.fixture
def sqlite(database: Path, tmp_path: Path) -> MlflowStore:
    return MlflowStore(f"sqlite:///{database}", tmp_path / "artifacts")


@pytest.fixture
def recorder(database: Path, tmp_path: Path) -> RecorderStore:
    return RecorderStore(f"sqlite:///{database}", tmp_path / "artifacts")


@pytest.fixture(params=["memory", "sqlite", "recorder"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore() if request.param == "memory" else request.getfixturevalue(request.param)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The files of a trial, in two folders, and a file that does not exist."""
    trained, scored = tmp_path / "trained", tmp_path / "scored"
    (trained / "adapter").mkdir(parents=True)
    scored.mkdir()
    kept = [trained / "adapter", scored / "scores.jsonl", scored / "result.json"]
    for file in (kept[0] / "adapter_model.safetensors", kept[0] / "adapter_config.json", *kept[1:]):
        file.write_text("{}")
    (scored / "checkpoint.tmp").write_text("scratch")
    return [*kept, scored / "config.yaml"]


def ended(result: TrialResult, status: Status) -> TrialResult:
    """The result of a trial with this status."""
    if status is Status.COMPLETE:
        return result
    return dataclasses.replace(result, status=status, reason=f"it ended {status}", measures=None)


class TestTracker:
    @pytest.mark.parametrize("status", list(Status))
    def test_a_trial_and_its_sweep_end_with_their_status(
        self, store: Store, complete: TrialResult, status: Status
    ) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        running = store.runs()
        assert [running[run].status for run in (parent, child)] == ["RUNNING", "RUNNING"]
        assert [running[run].tags["sweep.status"] for run in (parent, child)] == ["running", "running"]

        assert store.tracker.known_id(child) == child
        store.tracker.close_trial(child, ended(complete, status), [])
        store.tracker.close_sweep(parent, status, Summary(), [])

        expected = {"complete": "FINISHED", "failed": "FAILED", "infeasible": "FAILED"}.get(status, "KILLED")
        runs = store.runs()
        for run in (runs[parent], runs[child]):
            assert (run.status, run.tags["sweep.status"], run.ended) == (expected, status.value, True)
        assert runs[child].tags.get("sweep.reason") == (None if status is Status.COMPLETE else f"it ended {status}")

    def test_a_parent_run_has_tags_params_and_configuration(self, store: Store) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        run = store.runs()[parent]
        assert run.name == "pharma"
        assert run.params == SWEEP.params
        assert run.artifacts == {"config.yaml"}
        assert run.tags["sweep.command"] == SWEEP.command
        assert run.tags["team"] == "Größe"

    def test_declared_params_are_logged_for_the_parent_only(self, store: Store, spec: TrialSpec) -> None:
        parent = store.tracker.open_sweep(dataclasses.replace(SWEEP, declared={"certify.margin": "0.01"}))
        child = store.tracker.open_trial(parent, spec)
        runs = store.runs()
        assert runs[parent].params == {**SWEEP.params, "certify.margin": "0.01"}
        assert "certify.margin" not in runs[child].params

    def test_a_sweep_ends_with_its_verdict(self, store: Store) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        verdict = {"sweep.verdict": "certified", "mlflow.note.content": "Rank 8 is enough.", "sweep.status": "mine"}
        assert store.tracker.close_sweep(parent, Status.COMPLETE, Summary({"verdict/rank": 8.0}, verdict), [])
        run = store.runs()[parent]
        assert run.metrics == {"verdict/rank": 8.0}
        assert run.tags.items() >= {**verdict, "sweep.status": "complete"}.items()

    def test_a_later_process_closes_an_open_sweep(self, store: Store, complete: TrialResult, files: list[Path]) -> None:
        """Killed after its last trial: the study knows how the trials ended."""
        parent = store.tracker.open_sweep(SWEEP)
        known, unknown = (store.tracker.open_trial(parent, complete.spec) for _ in range(2))
        store.runs()
        later = store.reopen()
        later.resume_sweep(parent, dataclasses.replace(SWEEP, known_results={known: (complete, files)}))
        assert later.close_sweep(
            parent, Status.COMPLETE, Summary({"verdict/rank": 8.0}, {"sweep.verdict": "certified"}), []
        )
        runs = store.runs()
        assert [runs[run].status for run in (parent, known, unknown)] == ["FINISHED", "FINISHED", "KILLED"]
        assert runs[parent].tags["sweep.verdict"] == "certified"
        assert runs[known].metrics["eval/loss"] == 0.15

    def test_a_closed_sweep_accepts_another_verdict(self, store: Store) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        store.tracker.close_sweep(
            parent, Status.COMPLETE, Summary({"verdict/rank": 8.0}, {"sweep.verdict": "certified"}), []
        )
        later = store.reopen()
        later.resume_sweep(parent, SWEEP)
        later.close_sweep(
            parent, Status.COMPLETE, Summary({"verdict/rank": 16.0}, {"sweep.verdict": "provisional"}), []
        )
        run = store.runs()[parent]
        assert (run.status, run.metrics["verdict/rank"], run.tags["sweep.verdict"]) == ("FINISHED", 16.0, "provisional")

    def test_a_missing_sweep_is_refused(self, store: Store) -> None:
        store.tracker.open_sweep(SWEEP)
        with pytest.raises(RecordRefused):
            store.tracker.resume_sweep("0" * 32, SWEEP)

    def test_metrics_are_named_by_split(self, store: Store, complete: TrialResult) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        spec = dataclasses.replace(complete.spec, stage=Stage.CERTIFY, split=Split.CERTIFY)
        child = store.tracker.open_trial(parent, spec)
        store.tracker.close_trial(child, dataclasses.replace(complete, spec=spec), [])
        metrics = store.runs()[child].metrics
        assert {
            name: metrics[name] for name in ("eval/loss", "certify/loss", "certify/macro_f1", "certify/macro_f1/rare")
        } == {
            "eval/loss": 0.15,
            "certify/loss": 0.15,
            "certify/macro_f1": 0.9,
            "certify/macro_f1/rare": 0.7,
        }
        assert not {"tune/loss", "test/loss"} & set(metrics)

    def test_a_child_run_has_the_whole_recipe(self, store: Store, spec: TrialSpec) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, spec)
        run = store.runs()[child]
        assert run.name == "r16-lr1e-03-s0"
        assert run.params == {**SWEEP.params, **names.params_of(spec)}
        assert run.params["lora.r"] == "16"
        assert (
            run.tags.items()
            >= {
                "mlflow.parentRunId": parent,
                "sweep.study": "pharma",
                "sweep.stage": "explore",
                "sweep.rank": "16",
                "sweep.trial": "0123abcd",
                "sweep.seed": "0",
            }.items()
        )

    def test_more_params_than_one_batch_holds(self, store: Store, spec: TrialSpec) -> None:
        params = {f"extra.key{index}": "x" * 7000 for index in range(230)}
        parent = store.tracker.open_sweep(dataclasses.replace(SWEEP, params=params))
        child = store.tracker.open_trial(parent, spec)
        runs = store.runs()
        assert set(runs[parent].params) == set(params)
        assert set(runs[child].params) == set(params) | set(names.params_of(spec))
        assert len(runs[child].params["extra.key7"]) == 6000

    def test_measures_and_steps_are_kept(self, store: Store, complete: TrialResult) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        store.tracker.close_trial(child, complete, [])
        run = store.runs()[child]
        assert run.metrics.items() >= names.metrics_of(complete).items()
        assert run.history["train/loss"] == [(entry.step, entry.loss) for entry in complete.history]
        assert run.history["train/learning_rate"] == [(entry.step, entry.learning_rate) for entry in complete.history]
        assert run.history["eval/report_loss"] == [(20, 0.5), (40, 0.3)]
        assert run.metrics["train/loss"] == complete.history[-1].loss
        assert (
            run.tags.items()
            >= {"sweep.device": "cpu", "sweep.compute": "float32", "sweep.data_hash": "datahash"}.items()
        )
        assert run.tags["sweep.memory_peak_of"] == "training"
        assert run.tags["sweep.version.torch"] == "2.13.0"

    def test_more_metrics_than_one_batch_holds(self, store: Store, complete: TrialResult) -> None:
        history = tuple(StepLoss(step, 1.0 + step, 1e-3) for step in range(1500))
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        store.tracker.close_trial(child, dataclasses.replace(complete, history=history), [])
        run = store.runs()[child]
        assert len(run.history["train/loss"]) == len(run.history["train/learning_rate"]) == 1500
        assert run.metrics["train/loss"] == 1500.0

    def test_values_that_are_not_finite_are_left_out(self, store: Store, complete: TrialResult) -> None:
        assert complete.measures
        nan, inf = float("nan"), float("inf")
        measures = dataclasses.replace(complete.measures, metrics={"macro_f1": nan, "accuracy": 0.5}, train_loss=inf)
        history = (StepLoss(1, 2.0, 1e-3), StepLoss(2, nan, 1e-3), StepLoss(3, inf, 1e-3))
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        store.tracker.close_trial(child, dataclasses.replace(complete, measures=measures, history=history), [])
        store.tracker.close_sweep(parent, Status.COMPLETE, Summary({"verdict/rank": 16, "verdict/margin": nan}), [])
        runs = store.runs()
        assert runs[child].history["train/loss"] == [(1, 2.0)]
        assert runs[child].metrics["eval/accuracy"] == 0.5
        assert not {"eval/macro_f1", "train/final_loss"} & set(runs[child].metrics)
        assert runs[parent].metrics == {"verdict/rank": 16.0}

    def test_files_of_the_trial_are_kept_and_missing_ones_skipped(
        self, store: Store, complete: TrialResult, files: list[Path], tmp_path: Path
    ) -> None:
        verdict = tmp_path / "verdict.json"
        verdict.write_text("{}")
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        store.tracker.close_trial(child, complete, files)
        store.tracker.close_sweep(parent, Status.COMPLETE, Summary(), [verdict, tmp_path / "table.txt"])
        runs = store.runs()
        assert runs[child].artifacts == {
            "adapter/adapter_model.safetensors",
            "adapter/adapter_config.json",
            "scores.jsonl",
            "result.json",
        }
        assert runs[parent].artifacts == {"config.yaml", "verdict.json"}

    def test_long_and_odd_texts_fit(self, store: Store, complete: TrialResult) -> None:
        assert complete.measures
        measures = dataclasses.replace(complete.measures, metrics={"macro_f1/§ ünfall: ja?": 0.5, "macro_f1//..": 0.1})
        reason = "größer als der Speicher \ud800\0 " + "x" * 20_000
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        result = dataclasses.replace(complete, status=Status.FAILED, reason=reason, measures=measures)
        store.tracker.close_trial(child, result, [])
        run = store.runs()[child]
        assert run.tags["sweep.reason"].startswith("größer als der Speicher")
        assert run.tags["sweep.reason"].endswith("x…")
        assert sorted(value for name, value in run.metrics.items() if name.startswith("eval/macro_f1/")) == [0.1, 0.5]

    def test_runs_of_a_killed_invocation_are_ended_first(self, store: Store, spec: TrialSpec) -> None:
        old_parent = store.tracker.open_sweep(SWEEP)
        old_child = store.tracker.open_trial(old_parent, spec)
        other = store.tracker.open_sweep(dataclasses.replace(SWEEP, study="other"))
        foreign = store.start_foreign("pharma", {"owner": "someone", "mlflow.parentRunId": old_parent})

        parent = store.reopen().open_sweep(SWEEP)

        runs = store.runs()
        for run in (runs[old_parent], runs[old_child]):
            assert (run.status, run.tags["sweep.status"], run.ended) == ("KILLED", "interrupted", True)
        assert runs[foreign].status == "RUNNING"
        assert "sweep.status" not in runs[foreign].tags
        assert runs[parent].status == "RUNNING"
        assert store.runs("other")[other].status == "RUNNING"

    def test_known_results_are_recorded_instead_of_interrupted(
        self, store: Store, complete: TrialResult, files: list[Path]
    ) -> None:
        """The study knew how a trial ended, and the process that should record it was killed first."""
        old_parent = store.tracker.open_sweep(SWEEP)
        other = dataclasses.replace(complete.spec, identity="f" * 32)
        known, by_identity, unknown = (
            store.tracker.open_trial(old_parent, spec) for spec in (complete.spec, other, complete.spec)
        )
        ended_elsewhere = dataclasses.replace(complete, spec=other)
        results = {known: (complete, files), other.identity: (ended_elsewhere, [])}
        store.reopen().open_sweep(dataclasses.replace(SWEEP, known_results=results))
        runs = store.runs()
        assert (runs[by_identity].status, runs[by_identity].metrics["eval/loss"]) == ("FINISHED", 0.15)
        assert (runs[known].status, runs[known].tags["sweep.status"]) == ("FINISHED", "complete")
        assert runs[known].metrics["eval/loss"] == 0.15
        assert "scores.jsonl" in runs[known].artifacts
        assert (runs[unknown].status, runs[unknown].tags["sweep.status"]) == ("KILLED", "interrupted")

    def test_finished_runs_stay_as_they_are(self, store: Store, complete: TrialResult) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, complete.spec)
        store.tracker.close_trial(child, complete, [])
        store.tracker.close_sweep(parent, Status.COMPLETE, Summary(), [])
        before = store.runs()
        second = store.reopen().open_sweep(SWEEP)
        after = store.runs()
        assert {run: after[run] for run in before} == before
        assert set(after) - set(before) == {second}

    def test_closing_a_sweep_leaves_nothing_running(self, store: Store, spec: TrialSpec) -> None:
        parent = store.tracker.open_sweep(SWEEP)
        child = store.tracker.open_trial(parent, spec)
        store.tracker.close_sweep(parent, Status.INTERRUPTED, Summary({"trials/complete": 0}), [])
        runs = store.runs()
        assert {run.status for run in runs.values()} == {"KILLED"}
        assert runs[child].tags["sweep.status"] == "interrupted"


class TestSqlite:
    def test_artifacts_are_under_the_root_in_a_folder_per_study(
        self, sqlite: MlflowStore, complete: TrialResult, files: list[Path]
    ) -> None:
        child = sqlite.tracker.open_trial(sqlite.tracker.open_sweep(SWEEP), complete.spec)
        sqlite.tracker.close_trial(child, complete, files)
        assert sqlite.artifact_root
        assert (sqlite.artifact_root / "pharma" / child / "artifacts/adapter/adapter_config.json").read_text() == "{}"

    def test_the_configuration_is_kept_unchanged(self, sqlite: MlflowStore) -> None:
        parent = sqlite.tracker.open_sweep(dataclasses.replace(SWEEP, config_yaml="name: Größe\n"))
        assert sqlite.artifact_root
        text = (sqlite.artifact_root / "pharma" / parent / "artifacts/config.yaml").read_text(encoding="utf-8")
        assert text == "name: Größe\n"

    def test_a_deleted_experiment_is_restored(self, sqlite: MlflowStore) -> None:
        first = sqlite.tracker.open_sweep(SWEEP)
        sqlite.tracker.close_sweep(first, Status.COMPLETE, Summary(), [])
        sqlite.client.delete_experiment(sqlite.client.get_experiment_by_name("pharma").experiment_id)
        second = sqlite.reopen().open_sweep(SWEEP)
        assert {first, second} <= set(sqlite.runs())

    def test_logging_a_result_again_adds_nothing(self, sqlite: MlflowStore, complete: TrialResult) -> None:
        child = sqlite.tracker.open_trial(sqlite.tracker.open_sweep(SWEEP), complete.spec)
        sqlite.tracker.close_trial(child, complete, [])
        once = sqlite.runs()[child]
        sqlite.tracker.close_trial(child, complete, [])
        assert sqlite.runs()[child] == once

    def test_the_link_names_experiment_and_run(self, sqlite: MlflowStore) -> None:
        parent = sqlite.tracker.open_sweep(SWEEP)
        experiment = sqlite.client.get_experiment_by_name("pharma").experiment_id
        assert sqlite.tracker.link(parent) == f"#/experiments/{experiment}/runs/{parent}"

    def test_odd_folders(self, migrated: Path, tmp_path: Path) -> None:
        folder = tmp_path / "with space #größe"
        folder.mkdir()
        shutil.copy(migrated, folder / "mlflow.db")
        store = MlflowStore(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
        parent = store.tracker.open_sweep(SWEEP)
        assert store.runs()[parent].artifacts == {"config.yaml"}
        assert (folder / "artifacts/pharma" / parent).is_dir()
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [folder.name]

    def test_a_file_that_is_not_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "mlflow.db").write_text("no database, however one looks at it" * 100)
        with pytest.raises(EnvironmentLacks, match="not a database"):
            MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", None)

    def test_a_folder_that_cannot_be_created(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EnvironmentLacks, match="cannot record in sqlite"):
            MlflowTracker(f"sqlite:///{tmp_path}/file/mlflow.db", None)

    def test_a_store_that_goes_away_is_explained(
        self, sqlite: MlflowStore, spec: TrialSpec, capfd: pytest.CaptureFixture[str]
    ) -> None:
        parent = sqlite.tracker.open_sweep(SWEEP)
        Path(sqlite.uri.removeprefix("sqlite:///")).write_bytes(b"gone" * 1000)
        with pytest.raises(EnvironmentLacks, match="cannot record in sqlite"):
            sqlite.tracker.open_trial(parent, spec)
        assert capfd.readouterr().err == ""

    @pytest.mark.usefixtures("no_wait")
    def test_a_folder_that_accepts_no_file_fails_at_once(self) -> None:
        with pytest.raises(EnvironmentLacks, match=r"cannot record in sqlite:////proc/x\.db: .*No such file"):
            MlflowTracker("sqlite:////proc/x.db", None)

    def test_waiting_for_another_process_has_a_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mlflow_client, "_LOCK_SECONDS", 0.2)
        with (
            FileLock(tmp_path / "mlflow.db.lock"),
            pytest.raises(EnvironmentLacks, match=r"has held .*mlflow\.db\.lock for"),
        ):
            MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", None)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test does not wait: MLflow itself would try again for minutes."""
    sleep = time.sleep

    def slept(seconds: float) -> None:
        assert threading.current_thread() is not threading.main_thread(), f"it waits for {seconds} s"
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", slept)


class TestServers:
    @pytest.mark.usefixtures("no_wait")
    def test_a_server_that_does_not_answer_fails_at_once(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(EnvironmentLacks, match=rf"http://127\.0\.0\.1:{port}: .*refused") as error:
                MlflowTracker(f"http://ann:secret@127.0.0.1:{port}", None)
        assert "secret" not in str(error.value)

    def test_a_missing_driver_is_named(self) -> None:
        with pytest.raises(EnvironmentLacks, match=r"(?s)nosuchdriver.*Python package"):
            MlflowTracker("mssql+nosuchdriver:///mlflow", None)

    def test_memory_is_not_an_mlflow_store(self) -> None:
        with pytest.raises(ConfigurationError):
            MlflowTracker("memory://", None)


@pytest.mark.slow
def test_nothing_global_is_touched(database: Path, tmp_path: Path) -> None:
    """In a subprocess: MLflow is imported late, prints nothing, and creates no folder in the current one."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sweep.store.paths import Paths\n"
        "from sweep.tracking import SweepRun, open_tracker\n"
        "assert 'mlflow' not in sys.modules\n"
        "open_tracker('memory://', Paths.here(), 'pharma')\n"
        "assert 'mlflow' not in sys.modules\n"
        "open_tracker(None, Paths(Path(sys.argv[1])), 'pharma').open_sweep(SweepRun('pharma', ''))\n"
        "assert 'mlflow' not in sys.modules\n"
        "import mlflow, os\n"
        "assert mlflow.active_run() is None\n"
        "assert 'MLFLOW_TRACKING_URI' not in os.environ\n"
        "assert not mlflow.tracking.is_tracking_uri_set()\n"
    )
    standing = tmp_path / "standing"
    standing.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=standing,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(standing.iterdir()) == []


@pytest.mark.slow
def test_two_sweeps_may_create_the_database_at_once(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sweep.store.paths import Paths\n"
        "from sweep.tracking import SweepRun, open_tracker\n"
        "open_tracker(None, Paths(Path(sys.argv[1]) / 'mlruns'), sys.argv[2]).open_sweep(SweepRun(sys.argv[2], ''))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), study],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for study in ("pharma", "other")
    ]
    assert [(process.communicate(timeout=240)[0], process.returncode) for process in started] == [("", 0), ("", 0)]
    store = MlflowStore(f"sqlite:///{tmp_path}/mlruns/mlflow.db", None)
    assert len(store.runs("pharma")) == len(store.runs("other")) == 1


@pytest.fixture
def server(database: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a real MLflow server over the test's database."""
    started = Server(tmp_path / "server", database)
    try:
        started.start()
        yield started.address
    finally:
        started.kill()


def ask(url: str, query: dict[str, Any] | None = None) -> Any:
    """The answer of MLflow's REST API."""
    client = HTTPConnection(urlsplit(url).netloc, timeout=240)
    target = url.partition(urlsplit(url).netloc)[2]
    try:
        body = json.dumps(query) if query else None
        client.request("POST" if query else "GET", target, body, {"Content-Type": "application/json"})
        return json.load(client.getresponse())
    finally:
        client.close()


@pytest.mark.slow
def test_mlflow_shows_what_was_recorded(
    server: str, sqlite: MlflowStore, complete: TrialResult, files: list[Path]
) -> None:
    parent = sqlite.tracker.open_sweep(SWEEP)
    child = sqlite.tracker.open_trial(parent, complete.spec)
    sqlite.tracker.close_trial(child, complete, files)
    sqlite.tracker.close_sweep(parent, Status.COMPLETE, Summary({"verdict/rank": 16}), [])

    experiment = sqlite.client.get_experiment_by_name("pharma").experiment_id
    query = {"experiment_ids": [experiment], "filter": "tags.`sweep.rank` = '16'"}
    runs = ask(f"{server}/api/2.0/mlflow/runs/search", query)["runs"]
    assert [run["info"]["run_id"] for run in runs] == [child]
    assert runs[0]["info"]["status"] == "FINISHED"
    assert runs[0]["info"]["run_name"] == "r16-lr1e-03-s0"
    metrics = {metric["key"]: metric["value"] for metric in runs[0]["data"]["metrics"]}
    assert metrics["eval/loss"] == 0.15
    listed = ask(f"{server}/api/2.0/mlflow/artifacts/list?run_id={child}")["files"]
    assert {entry["path"] for entry in listed} == {"adapter", "result.json", "scores.jsonl"}


@pytest.mark.slow
def test_a_server_is_a_store_like_any_other(
    server: str, complete: TrialResult, files: list[Path], tmp_path: Path
) -> None:
    tracker = open_tracker(server, Paths(tmp_path / "mlruns"), "pharma")
    stale = tracker.open_sweep(SWEEP)
    parent = tracker.open_sweep(SWEEP)
    child = tracker.open_trial(parent, complete.spec)
    tracker.close_trial(child, complete, files)
    tracker.close_sweep(parent, Status.COMPLETE, Summary({"verdict/rank": 16}), [files[2]])

    runs = MlflowStore(server, None).runs()
    assert runs[stale].tags["sweep.status"] == "interrupted"
    assert runs[child].metrics.items() >= names.metrics_of(complete).items()
    assert len(runs[child].history["train/loss"]) == 60
    assert "adapter/adapter_config.json" in runs[child].artifacts
    assert runs[parent].artifacts == {"config.yaml", "result.json"}
    assert tracker.link(child) == f"{server}/#/experiments/1/runs/{child}"
    assert [file.name for file in (tmp_path / "mlruns").rglob("*") if file.is_file()] == ["pharma.log"]
    assert (tmp_path / "mlruns/logs/pharma.log").read_text() == ""
