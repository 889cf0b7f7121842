"""The learning rates of a ladder of arms: each arm has a model of its own, since nothing is known of one method's rates from another's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep.records import Certification, RateChoice, Rung, Status, StudyPlan, StudyRecord, TrialRecord
from sweep.study.rate_points import losses_by_rate, points_of
from sweep.study.rates import RateModel, RatePoint, at_edge, next_rates, tidy

_AT = 8
"""The rank at which `RateModel` has its usual rate: the arms have no slope between them."""


@dataclass(frozen=True, slots=True)
class ArmRates:
    """What the tuning trials say about one arm's rate."""

    rung: Rung
    trials: Sequence[TrialRecord]
    points: Sequence[RatePoint]

    def next(self, count: int) -> list[tuple[int, float]]:
        """At most this many (rung, rate) pairs to try next; none if the arm does not fit into memory, or nothing is left to try."""
        if any(trial.status is Status.INFEASIBLE for trial in self.trials):  # memory does not depend on the rate
            return []
        usual, (lowest, highest) = self.rung.of.learning_rate, self.rung.of.rates
        tried = [(_AT, trial.arm.learning_rate) for trial in self.trials if trial.arm is not None]
        proposed = next_rates(self.points, (_AT,), usual, lowest, highest, count, tried=tried)
        return [(self.rung, rate) for _, rate in proposed]

    def choice(self) -> RateChoice:
        """The rate that the trials so far speak for."""
        model = RateModel(self.points, self.rung.of.learning_rate, *self.rung.of.rates)
        best = model.best(_AT)
        return RateChoice(self.rung, tidy(best.rate), losses_by_rate(self.trials), at_edge(model, best))


def next_arm_rates(plan: StudyPlan, record: StudyRecord, certification: Certification) -> tuple[tuple[int, float], ...]:
    """The (rung, rate) pairs to try next, half of each arm's trials at a time; empty once every arm has its trials."""
    pairs: list[tuple[int, float]] = []
    for arm in _arms(record, certification):
        left = plan.rate_trials - len(arm.trials)
        # the second half of the trials uses the results of the first
        pairs += arm.next(min(left, math.ceil(plan.rate_trials / 2))) if left > 0 else []
    return tuple(pairs)


def arm_choices(record: StudyRecord, certification: Certification) -> tuple[RateChoice, ...]:
    """The rate of each arm."""
    return tuple(arm.choice() for arm in _arms(record, certification))


def _arms(record: StudyRecord, certification: Certification) -> Iterator[ArmRates]:
    for rung in certification.declared.ladder:
        if isinstance(rung, Rung):
            trials = [trial for trial in certification.tuning if certification.rung_of(trial) == rung]
            yield ArmRates(rung, trials, tuple(points_of(trials, record, lambda trial: _AT)))
