"""What TPE looks at in a very long study: its best trials and its latest, so that a proposal takes no longer as the study grows."""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

MOST = 1000
"""Trials that TPE looks at. Its weights make the oldest of so many count a thousandth of the latest anyway."""

BEST = 25
"""The best trials of all times among them: as many as TPE's `default_gamma` ever takes for good ones."""


class Window(optuna.Study):
    """A study of which its readers see `in_window`; everything else is the study's own."""

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return in_window(super()._get_trials(deepcopy, states, use_cache))


def in_window(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The `BEST` complete trials and the latest others, `MOST` in all, in their order.

    Args:
        trials: of a study that minimizes one value, by number.
    """
    if len(trials) <= MOST:
        return list(trials)
    complete = (trial for trial in trials if trial.state is TrialState.COMPLETE)
    best = {trial.number for trial in heapq.nsmallest(BEST, complete, key=lambda trial: trial.value or 0.0)}
    others = [trial for trial in trials if trial.number not in best]
    latest = {trial.number for trial in others[len(best) - MOST :]}
    return [trial for trial in trials if trial.number in best or trial.number in latest]
