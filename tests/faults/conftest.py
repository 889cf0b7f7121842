"""A real sweep in a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from mlflow.entities import Run, ViewType

from benchmarks.faults import processes
from benchmarks.faults.processes import end_all, in_folder, records, spawned_by, waited
from tests.faults.in_process import run_here

PATIENCE_SECONDS = 240.0


@dataclass
class Sweep:
    """`python -m sweep` (or another command) with a tiny model, in a folder of its own."""

    folder: Path
    data: Path

    def words(self, *overrides: str, module: str = "sweep") -> list[str]:
        return [
            sys.executable,
            "-m",
            module,
            "study.name=faults",
            "model=tiny",
            "task=jsonl",
            f"task.path={self.data}",
            "task.metric=exact_match",
            "train.steps=4",
            "train.batch_size=2",
            "evaluate.examples=8",
            "evaluate.general_paragraphs=1",
            "evaluate.max_new_tokens=4",
            "executor.workers=1",
            "executor.threads=1",
            "certify.enabled=false",
            *overrides,
        ]

    def start(self, *overrides: str, module: str = "sweep") -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*overrides, module=module),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def run(self, *overrides: str, module: str = "sweep") -> subprocess.CompletedProcess[str]:
        process = self.start(*overrides, module=module)
        try:
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")

    def run_here(self, *overrides: str, module: str = "sweep") -> subprocess.CompletedProcess[str]:
        """As `run`, in this process: for what does not depend on processes."""
        words = self.words(*overrides, module=module)
        code, output = run_here(module, words[3:], self.folder)
        return subprocess.CompletedProcess(words, code, output, "")

    def trial_results(self) -> list[Path]:
        """The result files on disk; unfinished folders begin with a dot."""
        files = (self.folder / "mlruns" / "trials").glob("*/*/result.json")
        return sorted(file for file in files if not file.parent.name.startswith("."))

    def trained(self) -> list[Path]:
        """The result files of trials, the base left out."""
        return [file for file in self.trial_results() if json.loads(file.read_text())["spec"]["arm"] is not None]

    def losses(self) -> dict[str, float]:
        """The loss of each trial by identity."""
        return {file.parent.name: json.loads(file.read_text())["measures"]["loss"] for file in self.trained()}

    def runs(self) -> list[Run]:
        """The trials' MLflow runs."""
        client = mlflow.MlflowClient(f"sqlite:///{self.folder}/mlruns/mlflow.db")
        experiment = client.get_experiment_by_name("faults")
        if experiment is None:
            return []
        return list(client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, max_results=500))

    def parent_run(self) -> Run:
        """The only sweep's run."""
        (run,) = [run for run in self.runs() if "mlflow.parentRunId" not in run.data.tags]
        return run

    def open_trials(self) -> int:
        """The number of running trials, the base left out; read without MLflow, which may be making its tables."""
        query = (
            "select count(*) from runs join tags using (run_uuid) where status = 'RUNNING' and key = ? and value <> '0'"
        )
        try:
            with closing(sqlite3.connect(f"file:{self.folder}/mlruns/mlflow.db?mode=ro", uri=True)) as database:
                return int(database.execute(query, ("sweep.rank",)).fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    def has_a_running_trial(self) -> bool:
        """Whether a trial is running."""
        return self.open_trials() > 0

    def trial_runs(self, status: str) -> list[Run]:
        return [
            run for run in self.runs() if run.data.tags.get("sweep.status") == status and "sweep.trial" in run.data.tags
        ]


def spend_the_budget(monkeypatch: pytest.MonkeyPatch, due: Callable[[], bool]) -> None:
    """From when this is due, a command in this process takes it that two hours have passed: no test depends on a machine's speed."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + (7200.0 if due() else 0.0))
    monkeypatch.setattr("sweep.study.study_run.time", clock)


@pytest.fixture
def sweep(tmp_path: Path, made_task: Path, empty_store: Path) -> Iterator[Sweep]:
    made = Sweep(tmp_path, made_task)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns")
    yield made
    end_all(in_folder(tmp_path))


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Waits until a running sweep has done something."""
    if not waited(true, PATIENCE_SECONDS, lambda: process.poll() is not None):
        assert process.poll() is not None, f"no {what} after {PATIENCE_SECONDS} s"
        raise AssertionError(f"the sweep ended before {what}:\n{process.stdout.read() if process.stdout else ''}")


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a sweep."""
    return processes.workers_of(process.pid)


def recorder_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The process of a sweep that records in MLflow."""
    (recorder,) = filter(records, spawned_by(process.pid))
    return recorder


def finish(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str]:
    """Sends a signal, if any, and waits for the end; exit code and output."""
    if number is not None:
        process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output
