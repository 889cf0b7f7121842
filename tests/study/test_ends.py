"""The certify stage ends for any losses, failures, ladder, parallelism and budget.

A study is simulated: `next_step` chooses the steps, and each trial has the same result whenever it is asked for.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.commands.app import composed_plan
from sweep.records import (
    Arm,
    Certification,
    Declaration,
    Split,
    Stage,
    Status,
    StudyPlan,
    StudyRecord,
    TrialRecord,
    TrialResult,
    TrialSpec,
)
from sweep.study.next_step import (
    EvaluateBase,
    Finish,
    FixRates,
    Step,
    TakeLook,
    TrainLadder,
    TuneRates,
    next_step,
    planned_looks,
)
from sweep.study.rates import NEAR, WIDENING
from tests.conftest import TRAINING, arm, result, study_record

EXAMPLES = 12
PLAN = composed_plan(["task=pharma"])


@dataclass(frozen=True)
class World:
    """The results of trials: a law of the losses, noise, and failures, all drawn from `seed`.

    Attributes:
        best: log2 of the best rate at rank 8; it falls by `slope` with each doubling of the rank.
        bad: the percentage of trials that do not end complete.
        infeasible: ranks that do not fit into memory.
        diverges: rates from this one on have no finite loss.
        cut: the number of trials of a step within the budget; None: all.
    """

    seed: int = 0
    best: float = math.log2(3e-3)
    slope: float = 0.6
    noise: float = 0.1
    level: float = 0.2
    bad: int = 0
    infeasible: frozenset[int] = frozenset()
    diverges: float = math.inf
    cut: int | None = None

    def draw(self, *question: object) -> np.random.Generator:
        words = repr((self.seed, *question)).encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(words).digest()[:8], "big"))

    def outcome(self, spec: TrialSpec) -> TrialResult:
        assert spec.arm is not None
        rank, rate = spec.arm.rank, spec.arm.learning_rate
        draw = self.draw(rank, rate, spec.seed)
        status, loss = Status.COMPLETE, None
        if rank in self.infeasible:
            status = Status.INFEASIBLE
        elif draw.integers(100) < self.bad:
            status = (Status.FAILED, Status.INFEASIBLE, Status.PRUNED)[draw.integers(3)]
        elif rate >= self.diverges:
            status = (Status.FAILED, Status.COMPLETE)[draw.integers(2)]
            loss = math.inf if status is Status.COMPLETE else None
        else:
            off = math.log2(rate) - self.best + self.slope * (math.log2(rank) - 3)
            loss = self.level * math.exp(min(0.15 * off**2, 3.0) + self.noise * draw.standard_normal())
        return replace(result(spec.arm, loss, status), spec=spec, started=0.0)


@dataclass
class Simulated:
    """A study in its certify stage, its steps and its rate trials."""

    world: World
    record: StudyRecord
    steps: list[Step] = field(default_factory=list)
    asked: list[tuple[int, float]] = field(default_factory=list)

    @property
    def certification(self) -> Certification:
        assert self.record.certification is not None
        return self.record.certification

    def drive(self, plan: StudyPlan, most: int) -> Finish:
        """Takes step after step as `certify` does; a run whose budget is spent is followed by another."""
        for _ in range(most):
            step = next_step(plan, self.record)
            assert not self.steps or step != self.steps[-1], f"the same step twice: {step}"
            self.steps.append(step)
            match step:
                case Finish():
                    return step
                case EvaluateBase():
                    scored = self._scored(self._spec(plan, None, Stage.BASE, 0, Split.CERTIFY))
                    self._change(base=scored.evaluated(), tokens=(3,) * EXAMPLES)
                case FixRates(choices):
                    self._change(rates=choices)
                case TakeLook(seeds):
                    self._change(looks=tuple(sorted({*self.certification.looks, seeds})))
                case TuneRates(pairs):
                    assert 0 < len(pairs) <= plan.parallel
                    known = {(trial.rank, rate_of(trial)) for trial in self._tried()}
                    for pair in pairs:
                        assert pair not in known, f"tried before: {pair}"
                        known.add(pair)
                    for rank, rate in pairs[: self.world.cut]:
                        self.asked.append((rank, rate))
                        recipe = replace(self.certification.recipe, rank=rank, learning_rate=rate)
                        self._store(self._spec(plan, recipe, Stage.RATES, plan.seed, Split.TUNE))
                case TrainLadder(runs):
                    broken: set[int] = set()
                    for recipe, seed in runs[: self.world.cut]:
                        if recipe.rank not in broken:
                            ended = self._store(self._spec(plan, recipe, Stage.CERTIFY, seed, Split.CERTIFY))
                            if ended.status is not Status.COMPLETE:
                                broken.add(recipe.rank)
        raise AssertionError(f"no end after {most} steps, of which the last are {self.steps[-4:]}")

    def _tried(self) -> Sequence[TrialRecord]:
        return (*self.record.trials, *self.certification.tuning)

    def _store(self, spec: TrialSpec) -> TrialResult:
        """Stores a trial by its identity, as `StoredCertification` does."""
        trial = self._scored(spec)
        if spec.stage is Stage.RATES:
            kept = {old.identity: old for old in self.certification.tuning}
            kept[spec.identity] = trial
            self._change(tuning=tuple(kept.values()))
        else:
            scored = {old.identity: old for old in self.certification.trials}
            scored[spec.identity] = trial
            self._change(trials=tuple(scored.values()))
        return trial.result

    def _scored(self, spec: TrialSpec) -> TrialRecord:
        ended = replace(result(None, 4.0), spec=spec) if spec.arm is None else self.world.outcome(spec)
        nats: tuple[float, ...] = ()
        if ended.measures is not None and spec.split is Split.CERTIFY:
            loss = min(ended.measures.loss, 1e3)
            noise = self.world.draw("examples", spec.identity).normal(0, 0.05, EXAMPLES)
            nats = tuple(float(3 * loss * math.exp(value)) for value in noise)
        return TrialRecord(1, ended, None, nats, (0.5,) * len(nats))

    def _spec(self, plan: StudyPlan, recipe: Arm | None, stage: Stage, seed: int, split: Split) -> TrialSpec:
        identity = repr((stage.value, recipe, seed, split.value))
        return TrialSpec(identity, plan.name, stage, recipe, TRAINING, seed, split=split)

    def _change(self, **changes: object) -> None:
        self.record = replace(self.record, certification=replace(self.certification, **changes))  # type: ignore[arg-type]


def rate_of(trial: TrialRecord) -> float:
    assert trial.spec.arm is not None
    return trial.spec.arm.learning_rate


def plan_for(
    ladder: Sequence[int],
    *,
    rate_trials: int = 6,
    seeds: int = 3,
    workers: int = 1,
    slots: int = 1,
    first_look: int = 3,
    rates: tuple[float, float] = (1e-3, 1e-2),
) -> StudyPlan:
    return replace(
        PLAN,
        seed=0,
        arm=replace(arm(), learning_rate=math.sqrt(rates[0] * rates[1])),
        space=replace(PLAN.space, learning_rate=rates),
        declaration=Declaration(tuple(ladder), seeds, 0.02, "gain", 0.05),
        rate_trials=rate_trials,
        workers=workers,
        slots=slots,
        first_look=first_look,
    )


def bound(plan: StudyPlan) -> int:
    """The most steps a plan can take: one for the base, each rate trial or rank, fixing rates, each ladder trial, each look, the end."""
    ranks, seeds = len(plan.declaration.ladder), plan.declaration.seeds
    return 1 + max(plan.rate_trials, ranks) + 1 + ranks * seeds + len(planned_looks(seeds, plan.first_look)) + 1


def begun(world: World, explored: Sequence[tuple[int, float]]) -> Simulated:
    """A study whose explore stage tried these ranks and rates."""
    specs = [
        TrialSpec(f"e{n}", "made", Stage.EXPLORE, arm(rank, learning_rate=rate), TRAINING, 0)
        for n, (rank, rate) in enumerate(explored)
    ]
    record = study_record([world.outcome(spec) for spec in specs])
    return Simulated(world, replace(record, certification=Certification(record.declaration, arm())))


@pytest.mark.parametrize(
    ("ladder", "plan", "world"),
    [
        ((1, 2, 4, 8, 16, 32), {"rate_trials": 10}, World()),
        ((1, 2, 4, 8, 16, 32), {"rate_trials": 10}, World(seed=3, slope=0.2)),
        ((2, 8), {"rate_trials": 10}, World(best=math.log2(3e-3) + 8)),
        ((2, 8), {"rate_trials": 10}, World(best=math.log2(3e-3) - 8)),
        ((2, 4, 8, 16, 32), {"rates": (1e-4, 1e-3)}, World(best=-2.0, level=5.0, noise=0.001)),
        ((2, 8), {"rate_trials": 200, "slots": 4}, World()),
        ((3, 6, 12), {"rate_trials": 30}, World(diverges=1e-4)),
        ((4, 8), {"rate_trials": 12}, World(bad=100)),
        ((4, 8), {"rate_trials": 12}, World(infeasible=frozenset((4, 8)))),
    ],
)
def test_studies_that_once_ran_for_ever_end(ladder: tuple[int, ...], plan: dict[str, object], world: World) -> None:
    made = plan_for(ladder, **plan)  # type: ignore[arg-type]
    begun(world, [(8, 3e-3), (16, 3e-3), (32, 3e-3)]).drive(made, bound(made))


RATES = st.floats(1e-6, 1e-1)
WORLDS = st.builds(
    World,
    seed=st.integers(0, 2**16),
    best=st.floats(-25, 5),
    slope=st.floats(-1, 2),
    noise=st.sampled_from([0.0, 0.05, 0.5, 3.0]),
    level=st.sampled_from([1e-12, 0.01, 0.3, 10.0]),
    bad=st.sampled_from([0, 0, 10, 50, 100]),
    infeasible=st.frozensets(st.integers(1, 64), max_size=20),
    diverges=st.one_of(st.just(math.inf), RATES),
    cut=st.one_of(st.none(), st.integers(1, 3)),
)
LADDERS = st.one_of(
    st.lists(st.integers(1, 300), min_size=2, max_size=6, unique=True).map(sorted),
    st.sampled_from([[1, 2, 4, 8, 16, 32], [2, 8], [2, 4, 8, 16, 32]]),
)
RANGES = st.tuples(RATES, st.floats(1, 100)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    world=WORLDS,
    ladder=LADDERS,
    wider=st.lists(st.integers(1, 300), max_size=2),
    explored=st.lists(st.tuples(st.integers(1, 64), RATES), max_size=8),
    rate_trials=st.integers(1, 16),
    more=st.integers(0, 4),
    seeds=st.integers(1, 5),
    workers=st.integers(1, 3),
    slots=st.integers(1, 4),
    first_look=st.integers(1, 5),
    rates=RANGES,
)
def test_the_certify_stage_ends(
    world: World,
    ladder: list[int],
    wider: list[int],
    explored: list[tuple[int, float]],
    rate_trials: int,
    more: int,
    seeds: int,
    workers: int,
    slots: int,
    first_look: int,
    rates: tuple[float, float],
) -> None:
    """It also ends in a later run with more seeds, more rate trials and a wider ladder."""
    study = begun(world, explored)
    plan = plan_for(
        ladder,
        rate_trials=rate_trials,
        seeds=seeds,
        workers=workers,
        slots=slots,
        first_look=first_look,
        rates=rates,
    )
    study.drive(plan, bound(plan))
    study.steps.clear()
    declaration = replace(plan.declaration, ladder=tuple(sorted({*ladder, *wider})), seeds=seeds + more)
    plan = replace(plan, declaration=declaration, rate_trials=rate_trials + more)
    study.drive(plan, bound(plan))
    assert len(study.asked) == len(set(study.asked))
    most = 2 + math.log2(rates[1] / rates[0] * WIDENING**2) / NEAR  # 1, and 1 for rounding to two digits at the edges
    assert max(Counter(rank for rank, _ in study.asked).values(), default=0) <= most
