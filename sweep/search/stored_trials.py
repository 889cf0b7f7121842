"""How the trials of a study are stored in its Optuna study, and a log of them in memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.records import Status, StepLoss, TrialRecord, TrialResult, to_json, trial_result_from_json

RESULT, OWNER, INTERRUPTED = "result", "owner", "interrupted"
"""User attributes of a trial: its result, the process that runs it, how often it was interrupted."""

RESCORED = "rescored/"
"""Prefix of the study's user attributes that hold results of trials that were evaluated again; the trial's number follows.

Optuna does not allow changes to a trial that has ended.
"""

_HISTORY_POINTS = 50


class TrialLog:
    """The explored trials of one study, read from the database once and updated as trials begin and end.

    Only this process writes to the study during a sweep, so nothing needs to be read again; reading takes longer with
    every trial.

    Args:
        rescored: results of trials that were evaluated again, by number; see `rescored_results`.
    """

    def __init__(self, trials: Iterable[FrozenTrial] = (), rescored: Mapping[int, Any] | None = None) -> None:
        self._ended: list[TrialRecord] = []
        self._running: set[int] = set()
        self._interrupted = 0
        for trial in trials:
            self._interrupted += trial.user_attrs.get(INTERRUPTED, 0)
            if trial.state is TrialState.RUNNING:
                self._running.add(trial.number)
            elif was_interrupted(trial):
                self._interrupted += 1
            elif trial.state.is_finished() and RESULT in trial.user_attrs:
                stored = (rescored or {}).get(trial.number, trial.user_attrs[RESULT])
                self._ended.append(record_from_json(trial.number, stored))

    @property
    def ended(self) -> tuple[TrialRecord, ...]:
        """The trials that count, in the order of their numbers."""
        return tuple(self._ended)

    @property
    def count(self) -> int:
        """The number of trials that count."""
        return len(self._ended)

    @property
    def running(self) -> frozenset[int]:
        """The numbers of the running trials."""
        return frozenset(self._running)

    @property
    def interrupted(self) -> int:
        """How many times a trial was interrupted; these do not count."""
        return self._interrupted

    def begin(self, number: int) -> None:
        """Adds a running trial."""
        self._running.add(number)

    def interrupt(self, number: int) -> None:
        """Removes a running trial, which will run again."""
        self._running.discard(number)
        self._interrupted += 1

    def end(self, record: TrialRecord) -> None:
        """Adds the record of a running trial that ended."""
        self._running.discard(record.number)
        insort(self._ended, _with_thinned_history(record), key=lambda other: other.number)

    def replace(self, record: TrialRecord) -> None:
        """Replaces the record of a trial that was evaluated again."""
        record = _with_thinned_history(record)
        self._ended = [record if other.number == record.number else other for other in self._ended]


def record_to_json(result: TrialResult, run_id: str | None) -> dict[str, Any]:
    """A trial's result and MLflow run as stored in the database, with a thinned learning curve."""
    return {**to_json(replace(result, history=())), "history": history_to_json(result.history), "run_id": run_id}


def record_from_json(number: int, data: Mapping[str, Any]) -> TrialRecord:
    """The record that `record_to_json` wrote."""
    return TrialRecord(number, trial_result_from_json(data), data.get("run_id"))


def history_to_json(history: Sequence[StepLoss]) -> list[dict[str, Any]]:
    """A learning curve as JSON, thinned to at most 50 evenly spaced steps that include the last one.

    Each loss is the mean over the steps since the previous point.
    """
    return [to_json(step) for step in _thinned(history)]


def rescored_results(attributes: Mapping[str, Any]) -> dict[int, Any]:
    """The stored results of trials that were evaluated again, by number, from the study's user attributes."""
    return {
        int(name.removeprefix(RESCORED)): stored for name, stored in attributes.items() if name.startswith(RESCORED)
    }


def was_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial ended without a result.

    Earlier versions ended interrupted trials this way; this version puts them back into the queue.
    """
    result = trial.user_attrs.get(RESULT)
    return trial.state.is_finished() and (result is None or result["status"] == Status.INTERRUPTED.value)


def _with_thinned_history(record: TrialRecord) -> TrialRecord:
    return replace(record, result=replace(record.result, history=tuple(_thinned(record.result.history))))


def _thinned(history: Sequence[StepLoss]) -> list[StepLoss]:
    width = max(1, -(-len(history) // _HISTORY_POINTS))
    windows = [history[start : start + width] for start in range(0, len(history), width)]
    return [
        StepLoss(window[-1].step, sum(step.loss for step in window) / len(window), window[-1].learning_rate)
        for window in windows
    ]
