"""The time left of a running study, from its plan and the trials measured so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from sweep.records import Stage, StudyPlan, StudyRecord, TrialResult
from sweep.reports.forecast import (
    TRAINING_STAGES,
    Span,
    by_cutting,
    cut_seconds,
    cuts_left,
    left_over_seeds,
    measured,
    smaller_ranks,
    time_of,
    trained_ranks,
    trial_seconds,
    trials_left,
)


@dataclass(frozen=True, slots=True)
class Cuts:
    """The adapters of the current stage that are cut from trained ones.

    Attributes:
        waiting: those that have not begun.
        running: how long each running one has been running, in seconds.
        ended: those that have ended.
    """

    waiting: int = 0
    running: Sequence[float] = ()
    ended: int = 0


NO_CUTS = Cuts()


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
        self._cuts_left = cuts_left(plan, record) if plan else Span(0, 0)
        self._reached = 0
        self._now = now
        self._began = now()

    def add(self, result: TrialResult) -> None:
        """Takes an ended trial into account; only complete ones that trained or cut an adapter count."""
        if result.measures is not None and result.spec.arm is not None and result.spec.stage is not Stage.FINAL:
            self._measured.append(result)

    def left(
        self,
        stage: Stage,
        waiting: int,
        running: Sequence[float],
        ended: int,
        guess: float | None = None,
        cuts: Cuts = NO_CUTS,
    ) -> Span | None:
        """Seconds until the study's last trial ends; None while nothing was measured.

        Args:
            stage: the current one.
            waiting: trainings of it that have not begun.
            running: how long each running training has been running, in seconds.
            ended: trainings of it that have ended.
            guess: seconds per training, used until one has ended.
            cuts: its adapters that are cut instead of trained.
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
        if stage is Stage.RATES and self._reached > TRAINING_STAGES.index(stage):
            # the chosen rank's own rate is tuned: what is left then is to train it with each seed
            seeds = self._plan.declaration.seeds
            self._left[Stage.CONFIRM] = Span(min(self._plan.first_look, seeds), seeds)
        for later in self._later(stage):
            if later in self._left:
                total += time_of(self._left[later], self._seconds(later) or seconds, parallel)
        total += self._time_of_cuts(stage, cuts, parallel)
        if self._plan.wall_clock is None:
            return total
        return total.capped(max(0.0, self._plan.wall_clock - (self._now() - self._began)))

    def _later(self, stage: Stage) -> Sequence[Stage]:
        """The stages that follow. A rate that is tuned to confirm a rank does not bring the stages before it back."""
        if stage not in TRAINING_STAGES:
            return ()
        self._reached = max(self._reached, TRAINING_STAGES.index(stage))
        return TRAINING_STAGES[self._reached + 1 :]

    def _time_of_cuts(self, stage: Stage, cuts: Cuts, parallel: int) -> Span:
        """Seconds that cutting and evaluating takes from here on."""
        if self._plan is None or not by_cutting(self._plan) or stage not in TRAINING_STAGES:
            return Span(0, 0)
        each = cut_seconds(self._plan, self._measured) or 0.0
        if stage is not Stage.CERTIFY:
            ahead = Stage.CERTIFY in self._later(stage)
            return time_of(self._cuts_left, each, parallel) if ahead else Span(0, 0)
        begun = sum(max(0.0, each - spent) for spent in cuts.running)
        left = self._per_seed(smaller_ranks(self._plan), cuts.waiting, len(cuts.running) + cuts.ended)
        return Span((left.least * each + begun) / parallel, (left.most * each + begun) / parallel)

    def _to_begin(self, stage: Stage, waiting: int, others: int) -> Span:
        """Trainings of the stage that have not begun, with seeds that the verdict may still need."""
        if self._plan is None or stage is not Stage.CERTIFY:
            return Span(waiting, waiting)
        return self._per_seed(trained_ranks(self._plan), waiting, others)

    def _per_seed(self, each: int, waiting: int, others: int) -> Span:
        """Trials that have not begun; `each` of them per seed, and `others` have begun."""
        return Span(waiting, waiting) if self._plan is None else left_over_seeds(self._plan, each, others, waiting)

    def _seconds(self, stage: Stage) -> float | None:
        if self._plan is None:
            return mean(result.seconds for result in self._measured) if self._measured else None
        return trial_seconds(self._plan, self._measured, stage)
