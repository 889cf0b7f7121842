"""How long a study takes: its trials laid out over its workers, stage after stage, as the study itself gives them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.commands.planning.costs import Costs
from sweep.commands.planning.speeds import END_SECONDS
from sweep.config.devices import SLOTS
from sweep.records import Arm, Split, Stage, StudyPlan, StudyRecord, arm_at
from sweep.reports.forecast import Span, by_cutting, cuts_left, smaller_ranks, trials_left

LEAST, MIDDLE, MOST = 0.0, 0.5, 1.0
"""Where in the span of a verdict's trials: the first look decides, halfway, or all seeds are needed."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage of a study.

    Attributes:
        name: as shown to people.
        low, middle, high: seconds.
    """

    name: str
    low: float
    middle: float
    high: float


class Crew:
    """Workers and the moment at which each is free, in seconds."""

    def __init__(self, workers: int) -> None:
        self._free = [0.0] * max(1, workers)

    def give(self, seconds: float, after: float = 0.0) -> float:
        """Gives a task to the worker that is free first; returns when it ends.

        Args:
            after: the moment before which it cannot begin.
        """
        first = min(range(len(self._free)), key=lambda worker: self._free[worker])
        self._free[first] = max(self._free[first], after) + seconds
        return self._free[first]

    def give_pack(self, tasks: Sequence[float], slots: int) -> list[float]:
        """Gives tasks that begin together, up to `slots` a worker, in shared passes: those of a worker end together. Returns the ends."""
        ends = [0.0] * len(tasks)
        wave = len(self._free) * max(1, slots)
        for start in range(0, len(tasks), wave):
            shares: dict[int, list[int]] = {}
            for place in range(start, min(start + wave, len(tasks))):
                loads = [
                    self._free[worker] + sum(tasks[each] for each in shares.get(worker, ()))
                    for worker in range(len(self._free))
                ]
                open_ones = [worker for worker in range(len(loads)) if len(shares.get(worker, ())) < max(1, slots)]
                shares.setdefault(min(open_ones, key=lambda worker: loads[worker]), []).append(place)
            for worker, places in shares.items():
                self._free[worker] += sum(tasks[place] for place in places)
                for place in places:
                    ends[place] = self._free[worker]
        return ends

    def end(self) -> float:
        """When all workers are free; the next stage begins then."""
        last = max(self._free)
        self._free = [last] * len(self._free)
        return last


@dataclass(frozen=True, slots=True)
class Counts:
    """Trials of each stage that are left.

    Attributes:
        base: splits on which the unadapted base is left to be evaluated.
    """

    explore: int
    rates: int
    trainings: int
    cuts: int
    confirm: int
    base: tuple[Split, ...]
    test: int

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        numbers = (self.explore, self.rates, self.trainings, self.cuts, self.confirm, self.test)
        return not any(numbers) and not self.base


def counts_at(place: float, plan: StudyPlan, record: StudyRecord | None) -> Counts:
    """The trials left if the verdict needs this share of what lies between its fewest and its most seeds."""
    left = trials_left(plan, record)

    def at(span: Span | None) -> int:
        return 0 if span is None else round(span.least + place * (span.most - span.least))

    known = record.certification if record else None
    base = [] if record and record.base else [Split.TUNE]
    tested = len(known.final) if known else 0
    if plan.certify:
        base += [] if known and known.base else [Split.CERTIFY]
        base += [] if tested else [Split.TEST]
    return Counts(
        explore=at(left[Stage.EXPLORE]),
        rates=at(left.get(Stage.RATES)),
        trainings=at(left.get(Stage.CERTIFY)),
        cuts=at(cuts_left(plan, record)),
        confirm=at(left.get(Stage.CONFIRM)),
        base=tuple(base),
        test=0 if not plan.certify or tested > 1 else 2,
    )


def seconds_by_stage(counts: Counts, costs: Costs) -> Mapping[str, float]:
    """Seconds of each stage that has trials, in order; `start` and `end` are what a study takes besides."""
    plan = costs.plan
    crew, slots = Crew(plan.workers), slots_of(plan)
    seconds: dict[str, float] = {}
    before = 0.0

    def close(name: str) -> None:
        nonlocal before
        now = crew.end()
        if now > before:
            seconds[name] = seconds.get(name, 0.0) + now - before
        before = now

    crew.give(costs.loading_seconds())
    close("start")
    if Split.TUNE in counts.base:
        crew.give(costs.evaluation(Split.TUNE, None))
    close("base")
    arm = plan.arm
    on_tune = costs.evaluation(Split.TUNE, arm)
    if counts.explore:
        crew.give_pack([costs.training(each) + on_tune for each in searched_arms(plan, counts.explore)], slots)
    close("search")
    if Split.CERTIFY in counts.base:
        crew.give(costs.evaluation(Split.CERTIFY, None, general=False))
    if not counts.explore:  # else a worker that would be idle evaluates it
        close("base")
    elif counts.base:
        close("search")
    arms = ladder_arms(plan)
    top = arms[-1:] if by_cutting(plan) else arms
    silent = costs.evaluation(Split.TUNE, arm, answers=False)
    for group in _rounds(counts.rates, plan, len(top)):
        crew.give_pack([costs.training(each) + silent for each in _cycled(top, group)], slots)
        close("rates")
    ends = crew.give_pack(
        [costs.training(each) + costs.evaluation(Split.CERTIFY, each) for each in _cycled(top, counts.trainings)],
        slots,
    )
    each_cut = smaller_ranks(plan)
    for number in range(counts.cuts):
        seed = min(len(ends) - 1, number // each_cut) if ends else -1
        crew.give(costs.cut(arms[0]), sorted(ends)[seed] if ends else 0.0)
    close("verdict")
    if counts.confirm:
        trained = costs.training(arms[0]) + costs.evaluation(Split.CERTIFY, arms[0])
        crew.give_pack([trained] * counts.confirm, slots)
    close("confirm")
    if Split.TEST in counts.base:
        crew.give(costs.evaluation(Split.TEST, None))
    for _ in range(counts.test):
        crew.give(costs.evaluation(Split.TEST, arms[-1]))
    close("test")
    seconds["end"] = END_SECONDS
    return seconds


def slots_of(plan: StudyPlan) -> int:
    """Trials that a worker trains side by side; where that is left open, as many as its kind of device aims at."""
    return plan.slots or (SLOTS.get(plan.setup.device, 1) if plan.setup.engine == "packed" else 1)


def searched_arms(plan: StudyPlan, count: int) -> list[Arm]:
    """Arms such as the search tries: each method in turn."""
    return _cycled([each.arm for each in plan.searched], count)


def ladder_arms(plan: StudyPlan) -> list[Arm]:
    """The arms of the ladder, in its order."""
    return [arm_at(rung, plan.arm, plan.arm.learning_rate) for rung in plan.declaration.ladder] or [plan.arm]


def _rounds(trials: int, plan: StudyPlan, ranks: int) -> Iterable[int]:
    """How many trials that tune rates run at once: the second half uses the results of the first, unless that leaves a worker idle."""
    if plan.declaration.arms:
        first = min(trials, -(-plan.rate_trials // 2) * ranks)
    else:
        first = min(trials, plan.parallel, max(plan.workers, plan.rate_trials // 2))
    while trials > 0:
        yield min(first, trials)
        trials -= first


def _cycled(arms: Sequence[Arm], count: int) -> list[Arm]:
    return [arms[place % len(arms)] for place in range(count)]
