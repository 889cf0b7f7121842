"""What TPE looks at in a very long study: its best trials and its latest, so that a proposal takes no longer as the study grows."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.search.optuna_internals import PartOfStudy

MOST = 250
"""Trials that TPE looks at: ten times as many as it ever takes for good ones; its weights let the others fade with age anyway."""

BEST = 25
"""The best of all older trials among them: as many as TPE's `default_gamma` ever takes for good ones."""


class Best:
    """The `BEST` complete trials among the older ones of a study that only grows; those that it has seen end it reads once."""

    def __init__(self) -> None:
        self._read = 0
        self._best: list[FrozenTrial] = []

    def among(self, older: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The best of these, by number.

        Args:
            older: the first trials of the study, by number; never fewer than the last time.
        """
        ended = self._read
        while ended < len(older) and older[ended].state.is_finished():
            ended += 1
        self._best = _best_of([*self._best, *older[self._read : ended]])
        self._read = ended
        return sorted(_best_of([*self._best, *older[ended:]]), key=lambda trial: trial.number)


def window_on(study: optuna.Study, best: Best) -> optuna.Study:
    """The study as one of which readers see `in_window`.

    Args:
        best: the same one for each window on a study, or a new one.
    """
    return PartOfStudy(study, lambda trials: in_window(trials, best))


def in_window(trials: Sequence[FrozenTrial], best: Best) -> list[FrozenTrial]:
    """The latest trials and the best complete ones before them, `MOST` in all, in their order.

    Args:
        trials: all of a study that minimizes one value, by number.
        best: what is known of the older ones from the last time.
    """
    if len(trials) <= MOST:
        return list(trials)
    return [*best.among(trials[: BEST - MOST]), *trials[BEST - MOST :]]


def _best_of(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return heapq.nsmallest(BEST, complete, key=lambda trial: trial.value or 0.0)
