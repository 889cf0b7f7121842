"""What a study has left to do, how long that takes and how much disk its adapters need, from its plan and measured trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from sweep.config.units import show_bytes, show_seconds
from sweep.records import Measures, Stage, StudyPlan, StudyRecord, TrialResult

TRAINING_STAGES = (Stage.EXPLORE, Stage.RATES, Stage.CERTIFY)


@dataclass(frozen=True, slots=True)
class Span:
    """A number that is known only within limits: the verdict may need fewer seeds than it is allowed."""

    least: float
    most: float

    def __add__(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)

    def capped(self, limit: float) -> Span:
        """At most `limit`."""
        return Span(min(self.least, limit), min(self.most, limit))

    def seconds(self) -> str:
        """For people: `about 12 min`, `about 12 min to 20 min`, or `at most 20 min`; one value where the limits are close."""
        least, most = _rough(self.least), _rough(self.most)
        if self.least < 0.1 * self.most:
            return f"at most {most}"
        return f"about {most}" if self.most <= 1.2 * self.least or least == most else f"about {least} to {most}"

    def count(self) -> str:
        """For people, such as `15` or `15 to 25`."""
        return f"{self.most:.0f}" if self.least == self.most else f"{self.least:.0f} to {self.most:.0f}"


def _rough(seconds: float) -> str:
    """No finer than an estimate deserves: whole minutes from two minutes on."""
    return show_seconds(seconds) if seconds < 100 else show_seconds(60 * round(seconds / 60)).removesuffix(" 0 s")


def trials_left(plan: StudyPlan, record: StudyRecord | None) -> Mapping[Stage, Span]:
    """The trials that each stage has left to train.

    The number of trials that tune learning rates is the planned one; a best rate at the edge of its range adds some.
    """
    explored = len(record.trials) if record else 0
    explore = max(0, plan.search.trials - explored)
    if not plan.certify:
        return {Stage.EXPLORE: Span(explore, explore)}
    known = record.certification if record else None
    ranks = len(plan.declaration.ladder)
    rates = 0 if known and known.rates else max(0, plan.rate_trials - (len(known.tuning) if known else 0))
    done = len(known.trials) if known else 0
    least = max(0, ranks * min(plan.first_look, plan.declaration.seeds) - done)
    most = max(least, ranks * plan.declaration.seeds - done)
    return {Stage.EXPLORE: Span(explore, explore), Stage.RATES: Span(rates, rates), Stage.CERTIFY: Span(least, most)}


def measured(record: StudyRecord | None) -> list[TrialResult]:
    """The complete trials of a record that trained an adapter."""
    if record is None:
        return []
    return [trial.result for trial in record.all_trials() if trial.is_complete and trial.spec.stage in TRAINING_STAGES]


def trial_seconds(plan: StudyPlan, results: Iterable[TrialResult], stage: Stage) -> float | None:
    """Mean seconds of a stage's trial; from other stages' trials if it has none yet, None if nothing was measured.

    Certify trials evaluate another number of examples than explored ones, which is taken into account.
    """
    by_stage: dict[Stage, list[TrialResult]] = {}
    for result in results:
        by_stage.setdefault(result.spec.stage, []).append(result)
    if own := by_stage.get(stage):
        return mean(result.seconds for result in own)
    scoring = plan.setup.scoring
    ratio = scoring.certify_examples / max(1, scoring.examples) if stage is Stage.CERTIFY else 1.0
    for other in (Stage.EXPLORE, Stage.RATES):
        if others := by_stage.get(other):
            return mean(_with_evaluation(result, ratio) for result in others)
    return None


def _with_evaluation(result: TrialResult, ratio: float) -> float:
    """The trial's seconds, had it evaluated `ratio` times as many examples."""
    evaluation = result.measures.eval_seconds if result.measures else 0.0
    return result.seconds + (ratio - 1) * min(evaluation, result.seconds)


def time_of(left: Span, seconds: float, parallel: int) -> Span:
    """Seconds that a number of trials takes, `parallel` of them side by side."""

    def lasts(trials: float) -> float:
        return seconds * max(1.0, trials / parallel) if trials > 0 else 0.0

    return Span(lasts(left.least), lasts(left.most))


def time_left(plan: StudyPlan, record: StudyRecord | None) -> Span | None:
    """Seconds that the study's trials take from here on, within `budget.wall_clock`; None if no trial was measured."""
    results = measured(record)
    total = Span(0, 0)
    for stage, left in trials_left(plan, record).items():
        seconds = trial_seconds(plan, results, stage)
        if seconds is None:
            return None
        total += time_of(left, seconds, plan.parallel)
    return total if plan.wall_clock is None else total.capped(plan.wall_clock)


def adapter_bytes_left(plan: StudyPlan, record: StudyRecord | None) -> Span | None:
    """Bytes of the adapters that are still to be trained; None if no trial was measured.

    An adapter's size is proportional to its rank. The target modules of trials that are still to be sampled are not known, so the
    mean over the measured trials is used.
    """
    sizes = [_bytes_per_rank(result.spec.rank, result.measures) for result in measured(record) if result.measures]
    if not sizes:
        return None
    per_rank = mean(sizes)
    ladder, searched = mean(plan.declaration.ladder or (0,)), mean(plan.space.ranks)
    total = Span(0, 0)
    for stage, left in trials_left(plan, record).items():
        size = per_rank * (searched if stage is Stage.EXPLORE else ladder)
        total += Span(size * left.least, size * left.most)
    return total


def _bytes_per_rank(rank: int, measures: Measures) -> float:
    return measures.adapter_bytes / rank


def plan_line(plan: StudyPlan, record: StudyRecord | None) -> str:
    """The plan in one line: trials per stage, time, disk. Says what an estimate rests on, or that there is none yet."""
    return f"plan: {'; '.join([*(text for _, text in stage_lines(plan, record)), estimate(plan, record)])}"


def stage_lines(plan: StudyPlan, record: StudyRecord | None) -> Iterator[tuple[str, str]]:
    """Each stage that has trials left: its name, and its trials in words."""
    left = trials_left(plan, record)
    explore = left[Stage.EXPLORE]
    if explore.most:
        done = plan.search.trials - int(explore.most)
        yield "search", _trials(explore, "search ") + (f" ({done} done)" if done > 0 else "")
    if Stage.RATES in left and left[Stage.RATES].most:
        yield "rates", f"about {_trials(left[Stage.RATES])} to tune learning rates"
    if Stage.CERTIFY in left and left[Stage.CERTIFY].most:
        ladder = plan.declaration.ladder
        seeds = Span(min(plan.first_look, plan.declaration.seeds), plan.declaration.seeds)
        each = f"{len(ladder)} ranks, {seeds.count()} seeds each"
        yield "verdict", f"{_trials(left[Stage.CERTIFY])} for the verdict ({each})"


def _trials(number: Span, kind: str = "") -> str:
    return f"{number.count()} {kind}trial{'' if number.most == 1 else 's'}"


def estimate(plan: StudyPlan, record: StudyRecord | None) -> str:
    """Time and disk in words, and what they were estimated from."""
    if not any(left.most for left in trials_left(plan, record).values()):
        return "no trial is left to train"
    seconds, size = time_left(plan, record), adapter_bytes_left(plan, record)
    limit = "" if plan.wall_clock is None else f", budget.wall_clock={show_seconds(plan.wall_clock)}"
    if seconds is None or size is None:
        return f"time and disk unknown until the first trial{limit}"
    trials = len(measured(record))
    return (
        f"{seconds.seconds()}, adapters about {show_bytes(round(size.most))} "
        f"(estimated from {trials} finished trial{'s' if trials > 1 else ''}){limit}"
    )


class Countdown:
    """Estimates the time left of a running study.

    Args:
        plan: None where only the current stage's trials are known, as for a single trial.
        record: the study as recorded when this run began.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        plan: StudyPlan | None = None,
        record: StudyRecord | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._measured = measured(record)
        self._left = dict(trials_left(plan, record)) if plan else {}
        self._now = now
        self._began = now()

    def add(self, result: TrialResult) -> None:
        """Takes an ended trial into account; only complete ones that trained an adapter count."""
        if result.measures is not None and result.spec.arm is not None and result.spec.stage is not Stage.FINAL:
            self._measured.append(result)

    def left(
        self, stage: Stage, waiting: int, running: Sequence[float], ended: int, guess: float | None = None
    ) -> Span | None:
        """Seconds until the study's last trial ends; None while nothing was measured.

        Args:
            stage: the current one.
            waiting: trials of it that have not begun.
            running: how long each running trial has been running, in seconds.
            ended: trials of it that have ended.
            guess: seconds per trial, used until a trial has ended.
        """
        seconds = self._seconds(stage) or guess
        if seconds is None:
            return None
        parallel = self._plan.parallel if self._plan else max(1, len(running))
        rest = [max(0.0, seconds - spent) for spent in running]

        def lasts(trials: float) -> float:
            begun = max([*rest, sum(rest) / parallel], default=0.0)
            return max(begun, seconds, (trials * seconds + sum(rest)) / parallel) if trials > 0 else begun

        trials = self._to_begin(stage, waiting, len(running) + ended)
        total = Span(lasts(trials.least), lasts(trials.most))
        if self._plan is None:
            return total
        for later in TRAINING_STAGES[TRAINING_STAGES.index(stage) + 1 :] if stage in TRAINING_STAGES else ():
            if later in self._left:
                total += time_of(self._left[later], self._seconds(later) or seconds, parallel)
        if self._plan.wall_clock is None:
            return total
        return total.capped(max(0.0, self._plan.wall_clock - (self._now() - self._began)))

    def _to_begin(self, stage: Stage, waiting: int, others: int) -> Span:
        """Trials of the stage that have not begun, with seeds that the verdict may still need."""
        if self._plan is None or stage is not Stage.CERTIFY:
            return Span(waiting, waiting)
        ranks, seeds = len(self._plan.declaration.ladder), self._plan.declaration.seeds
        least = max(waiting, ranks * min(self._plan.first_look, seeds) - others)
        return Span(least, max(least, ranks * seeds - others))

    def _seconds(self, stage: Stage) -> float | None:
        if self._plan is None:
            return mean(result.seconds for result in self._measured) if self._measured else None
        return trial_seconds(self._plan, self._measured, stage)
