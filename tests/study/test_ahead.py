"""The base on certify is evaluated beside the last trials of the search, where a worker would be idle, and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.storages import RDBStorage

from sweep.commands.app import composed_plan
from sweep.records import (
    EvaluatedTrial,
    ExampleOutcome,
    LoadReport,
    Split,
    Stage,
    Status,
    StudyPlan,
    TrialResult,
    TrialSpec,
)
from sweep.search.study import SearchStudy
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.certify import certify
from sweep.study.display import Silent
from sweep.study.examples import with_examples
from sweep.study.explore import explore
from sweep.study.study_run import StudyRun
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.workers.messages import TrialEnd
from sweep.workers.pool import Event
from tests.study.instant import InstantPool, complete, session_on

TRIALS = 4
EXAMPLES = 100


@dataclass
class UnevenPool(InstantPool):
    """Workers with one slot each. The last trial of the search ends when nothing else runs.

    Attributes:
        specs: the running trials, at most one per worker.
        ended: the trials that are complete.
        beside_base: the trials that were running when the base on certify began.
    """

    workers: int = 2
    ended: dict[str, TrialResult] = field(default_factory=dict)
    beside_base: list[TrialSpec] | None = None

    def __post_init__(self) -> None:
        self.slots = self.workers

    @property
    def bases(self) -> int:
        """How often the base on certify began."""
        return sum(is_base(spec) for spec in self.begun)

    def fewest_trials(self) -> int:
        return len(self.specs) // self.workers

    def submit(self, spec: TrialSpec) -> None:
        if is_base(spec):
            self.beside_base = list(self.specs)
        super().submit(spec)

    def events(self, timeout: float) -> Iterator[Event]:
        last = [spec for spec in self.begun if spec.stage is Stage.EXPLORE][TRIALS - 1 :]
        ends = [spec for spec in self.specs if spec not in last] or list(self.specs)
        self.specs = [spec for spec in self.specs if spec not in ends]
        for spec in ends:
            result = self.outcome(spec)
            if result.status is Status.COMPLETE:
                self.ended[spec.identity] = result
            yield Event(spec, TrialEnd(result))


def is_base(spec: TrialSpec) -> bool:
    return spec.stage is Stage.BASE and spec.split is Split.CERTIFY


@dataclass
class Store:
    """Has the trials that ended complete on a pool, and no adapters."""

    ended: dict[str, TrialResult]

    def find(self, identity: str) -> TrialResult | None:
        return self.ended.get(identity)

    def outcomes(self, identity: str) -> list[ExampleOutcome]:
        per_token = 0.3 if self.ended[identity].spec.arm else 4.0
        return [ExampleOutcome((per_token + 0.01 * number) * 3, 3, "answer", 0.5) for number in range(6)]

    def artifacts(self, ended: TrialResult) -> tuple[Path, ...]:
        return ()

    @property
    def adapters(self) -> Any:
        return Store({})


@pytest.fixture
def plan() -> StudyPlan:
    words = ["model=tiny", "task=pharma", f"search.trials={TRIALS}", "search.sampler=random", "certify.rate_trials=2"]
    return replace(composed_plan([*words, "certify.seeds=2", "certify.ladder=[8,32]"]), workers=2, slots=1)


Open = Callable[..., tuple[StudyRun, SearchStudy]]


@pytest.fixture
def opened(new_storage: Callable[[], RDBStorage], tmp_path: Path) -> Open:
    """Opens the study in a process of its own, on a pool."""
    storage = new_storage()

    def open_study(plan: StudyPlan, pool: UnevenPool) -> tuple[StudyRun, SearchStudy]:
        session = session_on(pool, tmp_path, store=cast(TrialStore, Store(pool.ended)))
        loaded = LoadReport("made", "basehash", 0, 0, (), 512, 0, 0.0, "cpu", "datahash", {}, {"certify": EXAMPLES})
        run = StudyRun(plan, Paths(tmp_path), Silent(), session, loaded)
        return run, SearchStudy(plan, storage, "0123456789", "datahash")

    return open_study


def certified_base(run: StudyRun, study: SearchStudy, examples: int = EXAMPLES) -> EvaluatedTrial:
    """Certifies the study; returns the base on certify."""
    run.plan = with_examples(run.plan, examples)
    stored = study.certification(study.ended[0].completed().arm)
    stored.begin(run.plan.declaration)
    certify(run, study, stored)
    certification = study.record().certification
    assert certification is not None
    assert certification.base is not None
    return certification.base


def runs_of_base(run: StudyRun) -> list[str]:
    """The MLflow runs of the base on certify."""
    tracker = cast(MemoryTracker, run.session.tracker)
    return [name for name, opened in tracker.runs.items() if opened.name == "base-certify"]


def test_an_idle_worker_evaluates_it_beside_the_last_trial_of_the_search(plan: StudyPlan, opened: Open) -> None:
    pool = UnevenPool()
    run, study = opened(plan, pool)
    explore(run, study)
    assert [spec.stage for spec in pool.beside_base or []] == [Stage.EXPLORE]
    assert [spec.stage for spec in pool.begun].count(Stage.EXPLORE) == TRIALS
    assert is_base(pool.begun[-1]), "the search's own trials begin first"
    assert pool.begun[-1].examples == EXAMPLES
    base = certified_base(run, study)
    assert pool.bases == 1
    assert [base.run_id] == runs_of_base(run)
    assert (base.spec, len(base.nats)) == (pool.begun[TRIALS + 1], 6)


def test_a_later_run_takes_it_as_it_was_recorded(plan: StudyPlan, opened: Open) -> None:
    pool = UnevenPool()
    first, study = opened(plan, pool)
    explore(first, study)
    run, study = opened(plan, pool)
    explore(run, study)
    base = certified_base(run, study)
    assert pool.bases == 1
    assert [base.run_id] == runs_of_base(first)
    assert runs_of_base(run) == []


@pytest.mark.parametrize(
    ("changes", "pool"),
    [
        ({"certify": False}, UnevenPool()),
        ({"wall_clock": 1e5}, UnevenPool(lambda spec: replace(complete(spec), seconds=0.0 if spec.arm else 1e6))),
        ({"workers": 1}, UnevenPool(workers=1)),
        ({}, UnevenPool(lambda spec: replace(complete(spec), status=Status.PRUNED if spec.arm else Status.COMPLETE))),
    ],
    ids=["no certify stage", "no time left for it", "no worker idle", "no trial complete"],
)
def test_it_is_left_to_the_certify_stage(
    changes: dict[str, Any], pool: UnevenPool, plan: StudyPlan, opened: Open
) -> None:
    run, study = opened(replace(plan, **changes), pool)
    if (
        run.plan.wall_clock is not None
    ):  # enough for trials that take no time, but not for the base, which takes a second
        pool.outcome = lambda spec: replace(complete(spec), seconds=0.0 if spec.arm else 1e6)
        run.plan = replace(run.plan, wall_clock=1e5)
    explore(run, study)
    assert study.remaining == 0
    assert pool.bases == 0


def test_one_that_fails_is_evaluated_again_by_the_certify_stage(plan: StudyPlan, opened: Open) -> None:
    pool = UnevenPool()
    pool.outcome = lambda spec: (
        TrialResult(spec, Status.FAILED, "made up") if is_base(spec) and pool.bases == 1 else complete(spec)
    )
    run, study = opened(plan, pool)
    explore(run, study)
    assert certified_base(run, study).is_complete
    assert pool.bases == 2


def test_one_on_another_number_of_examples_does_not_count(plan: StudyPlan, opened: Open) -> None:
    pool = UnevenPool()
    run, study = opened(plan, pool)
    explore(run, study)
    assert certified_base(run, study, EXAMPLES - 1).spec.examples == EXAMPLES - 1
    assert pool.bases == 2
