"""Trials that wait for an adapter which another trial has in training, here or in another process."""

from __future__ import annotations

import time

from sweep.records import TrialSpec
from sweep.runner.running import RunningTrial

LONGEST_SECONDS = 3600.0
"""How long a trial waits for an adapter; then it is trained twice."""

_LOOK_SECONDS = 0.25


class WaitingTrials:
    """Trials that wait. Nobody tells them of the end of a training, so they have to look again from time to time."""

    def __init__(self) -> None:
        self._trials: list[RunningTrial] = []

    def __len__(self) -> int:
        return len(self._trials)

    def add(self, trial: RunningTrial, awaited: TrialSpec) -> bool:
        """Lets a trial wait, and says so; returns False if it has waited for `LONGEST_SECONDS`.

        Args:
            awaited: the spec of what is in training elsewhere.
        """
        now = time.perf_counter()
        if trial.waits_since is None:
            trial.waits_since = now
            print(
                f"{trial.spec.name} waits for the adapter of {awaited.name}, which another trial has in training "
                f"(at most {LONGEST_SECONDS:.0f} s)",
                flush=True,
            )
        waited = now - trial.waits_since
        if waited >= LONGEST_SECONDS:
            return False
        trial.listener.progress("wait", int(waited), int(LONGEST_SECONDS))
        self._trials.append(trial)
        return True

    def take(self, *, nothing_else: bool) -> list[RunningTrial]:
        """Removes and returns all trials, to look again for each of them.

        Args:
            nothing_else: whether there is no other work; then a moment passes first.
        """
        if self._trials and nothing_else:
            time.sleep(_LOOK_SECONDS)
        trials, self._trials = self._trials, []
        for trial in trials:
            trial.restart()
        return trials
