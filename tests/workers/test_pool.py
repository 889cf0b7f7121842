"""The parent's side of workers, with workers that answer at once (benchmarks/stand_in.py)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import stand_in
from sweep.commands.app import composed_plan
from sweep.records import Stage, Status, StudyPlan, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.workers.messages import Ended, Ready, Run
from sweep.workers.pool import Pool

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> StudyPlan:
    return composed_plan(["model=tiny", "train.steps=3"])


@pytest.fixture
def pool(plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr("sweep.workers.child.main", stand_in.main)
    with Pool(plan.setup, Paths(tmp_path / "mlruns"), 1, "made") as made:
        made.load(lambda: None)
        yield made


def spec(plan: StudyPlan, identity: str, rank: int = 8) -> TrialSpec:
    return TrialSpec(identity * 32, "made", Stage.EXPLORE, replace(plan.arm, rank=rank), plan.training, 0)


class CountedSubmits:
    """`Pool.submit`, counted."""

    def __init__(self, submit: Callable[[Pool, TrialSpec], None]) -> None:
        self._submit = submit
        self.times = 0

    def __get__(self, pool: Pool, kind: type) -> Callable[[TrialSpec], None]:
        def submit(spec: TrialSpec) -> None:
            self.times += 1
            self._submit(pool, spec)

        return submit


def the_end(pool: Pool) -> TrialResult:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        for event in pool.events(0.1):
            if isinstance(event.message, Ended):
                return event.message.result
    raise AssertionError("the trial did not end")


def kill_workers() -> None:
    for child in psutil.Process().children():
        if any("spawn_main" in word for word in child.cmdline()):
            child.kill()
            end = time.monotonic() + PATIENCE_SECONDS
            # not waited for, which is its parent's, the pool's, to do
            while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
                time.sleep(0.02)


def dies_of_its_trial(connection: Connection, *rest: Any) -> None:
    """A worker that every trial kills."""
    connection.send(Ready(stand_in._loaded()))
    while True:
        if isinstance(connection.recv(), Run):
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_trial_that_kills_its_worker_twice_has_failed(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.workers.child.main", dies_of_its_trial)
    monkeypatch.setattr(Pool, "submit", counted := CountedSubmits(Pool.submit))
    with Pool(plan.setup, Paths(tmp_path / "mlruns"), 1, "made") as pool:
        pool.load(lambda: None)
        pool.submit(spec(plan, "a"))
        ended = the_end(pool)
    assert ended.status is Status.FAILED
    assert ended.reason == "the worker was killed by signal 9 (SIGKILL)"
    assert counted.times == 2


def test_a_worker_that_died_idle_costs_no_trial(pool: Pool, plan: StudyPlan) -> None:
    kill_workers()
    pool.submit(spec(plan, "a"))
    assert the_end(pool).status is Status.COMPLETE


def test_a_worker_that_dies_before_it_is_ready_costs_no_trial(pool: Pool, plan: StudyPlan) -> None:
    kill_workers()
    pool.submit(spec(plan, "a"))  # a new worker, which is killed while it starts
    kill_workers()
    assert the_end(pool).status is Status.COMPLETE
