"""The cost of a trial besides its training: a whole study through the real orchestrator, with a worker that answers at once.

    python -m benchmarks.orchestration --trials 100 1000 5000 --out benchmarks/results/orchestration.json

Everything but training is real: Optuna and MLflow write to their SQLite files, the pool starts a process and talks to it, each
trial leaves its folder, and its files are kept with its MLflow run. One worker with one trial at a time, so that nothing hides
behind anything: the time between the first trial's beginning and the last one's end, divided by the trials.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
import psutil
from optuna.storages import RDBStorage

from benchmarks import stand_in
from benchmarks.machine import machine
from benchmarks.spent import Spent, methods_of
from sweep.commands.app import composed_plan
from sweep.records import Stage, StudyPlan, TrialResult, TrialSpec
from sweep.search.samplers import SharedSpaceTPE
from sweep.search.study import SearchStudy
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Silent
from sweep.study.run import run_study
from sweep.study.stopping import StopRequest
from sweep.tracking.recorder import Recorder
from sweep.tracking.recorder_process import NAME
from sweep.workers import child
from sweep.workers.pool import Pool
from tasks import Splits

STEPS = 20
LAST = 0.1
"""The part of the trials, at the end, that shows whether the overhead grows."""


class Watch(Silent):
    """Notes, for every explored trial that ends, the wall clock, CPU seconds, and the seconds by part.

    CPU seconds are those of this process and of the one that records in MLflow.

    Attributes:
        marks: the first one is from when the first trial began.
    """

    def __init__(self, spent: Spent) -> None:
        self._spent = spent
        self._recorder: psutil.Process | None = None
        self.marks: list[tuple[float, float, Mapping[str, float]]] = []

    def began(self, number: int, spec: TrialSpec) -> None:
        """Takes the first mark."""
        if spec.stage is Stage.EXPLORE and not self.marks:
            self._mark()

    def ended(self, number: int, result: TrialResult) -> None:
        """Takes a mark."""
        if result.spec.stage is Stage.EXPLORE:
            self._mark()

    def _mark(self) -> None:
        self._recorder = self._recorder or _recorder()
        recording = self._recorder.cpu_times()
        busy = time.process_time() + recording.user + recording.system
        self.marks.append((time.perf_counter(), busy, self._spent.snapshot()))


def _recorder() -> psutil.Process:
    (process,) = (child for child in multiprocessing.active_children() if child.name == NAME)
    return psutil.Process(process.pid)


def plan_of(trials: int, overrides: Sequence[str] = ()) -> StudyPlan:
    """A study as its defaults make it, but for what would take long or hide the overhead."""
    return composed_plan(
        [
            "study.name=orchestration",
            "model=tiny",
            f"train.steps={STEPS}",
            f"search.trials={trials}",
            "certify=none",
            "executor.workers=1",
            "executor.threads=1",
            "engine.slots=1",
            *overrides,
        ]
    )


def measure(trials: int, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Runs a study with this number of trials in an empty folder; returns milliseconds per trial."""
    plan = plan_of(trials, overrides)
    splits = Splits((), (), (), (), (), "d" * 64, "d" * 64)
    spent = Spent()
    watch = Watch(spent)
    sampler = SharedSpaceTPE if plan.search.sampler == "tpe" else optuna.samplers.RandomSampler
    parts: list[tuple[str, type, Sequence[str]]] = [
        ("sampler", sampler, ("infer_relative_search_space", "sample_relative", "sample_independent")),
        ("Optuna database", RDBStorage, methods_of(RDBStorage)),
        ("study", SearchStudy, methods_of(SearchStudy)),
        ("MLflow", Recorder, ("open_trial", "close_trial")),
        ("trial folders", TrialStore, ("find",)),
        ("worker", Pool, ("events", "submit")),
    ]
    with patch.object(child, "main", stand_in.main), spent.watching(parts):
        outcome = run_study(plan, splits, Paths(folder), watch, StopRequest(), lambda record: ())
    assert len(outcome.record.complete()) == outcome.trained == trials == len(watch.marks) - 1
    last = max(1, round(trials * LAST))
    return {
        "trials": trials,
        "whole": _a_trial(watch.marks, 0),
        "last": _a_trial(watch.marks, trials - last) | {"trials": last},
    }


def _a_trial(marks: Sequence[tuple[float, float, Mapping[str, float]]], first: int) -> dict[str, Any]:
    (began, busy, before), (ended, busy_then, after) = marks[first], marks[-1]
    trials = len(marks) - 1 - first
    return {
        "ms": 1e3 * (ended - began) / trials,
        "cpu_ms": 1e3 * (busy_then - busy) / trials,
        "parts_ms": {part: 1e3 * (seconds - before.get(part, 0.0)) / trials for part, seconds in after.items()},
    }


def main() -> None:
    """Measures each size, prints and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument(
        "--folder", type=Path, help="where the databases are made, in a folder of their own that is deleted"
    )
    parser.add_argument("--set", nargs="*", default=[], help="more of the configuration, for example sampler=random")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    runs = []
    for trials in arguments.trials:
        with tempfile.TemporaryDirectory(prefix="goldilocks-orchestration-", dir=arguments.folder) as scratch:
            runs.append(measure(trials, Path(scratch), arguments.set))
        for name in ("whole", "last"):
            took = runs[-1][name]
            parts = ", ".join(f"{part} {ms:.1f}" for part, ms in took["parts_ms"].items())
            print(
                f"{trials} trials, {name}: {took['ms']:.1f} ms per trial, {took['cpu_ms']:.1f} ms of CPU ({parts})",
                flush=True,
            )
    if arguments.out:
        measured = {
            "kind": "orchestration",
            "machine": machine("cpu"),
            "set": arguments.set,
            "steps": STEPS,
            "runs": runs,
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
