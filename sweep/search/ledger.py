"""What is known of a study's trials, read from the database once and kept up as they are asked for and end."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.records import Status, StepLoss, TrialRecord, TrialResult, to_json, trial_result_from_json
from sweep.search.histories import thinned

RESULT, OWNER, INTERRUPTED = "result", "owner", "interrupted"
"""The user attributes of a trial: what came of it, which process had it, how often it was interrupted."""

RESCORED = "rescored/"
"""Begins the user attributes of a study that hold what came of a trial that was scored anew; its number follows."""


class Ledger:
    """The trials of one study, as they lie in its database.

    Nobody but this process writes to the study while a sweep holds it, so what it has written need not be read again; that
    would take longer with every trial.

    Args:
        rescored: by number what came of trials that were scored anew, see `rescored_in`.
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
                kept = (rescored or {}).get(trial.number, trial.user_attrs[RESULT])
                self._ended.append(record_from_json(trial.number, kept))

    def rescored(self, number: int, result: TrialResult, run_id: str | None) -> None:
        """A trial that had ended was scored anew."""
        kept = replace(result, history=tuple(StepLoss(**step) for step in thinned(result.history)))
        self._ended = [TrialRecord(number, kept, run_id) if one.number == number else one for one in self._ended]

    @property
    def ended(self) -> tuple[TrialRecord, ...]:
        """The trials that count, in the order in which they were asked for."""
        return tuple(self._ended)

    @property
    def count(self) -> int:
        """How many trials count."""
        return len(self._ended)

    @property
    def running(self) -> frozenset[int]:
        """The numbers of the trials that were asked for and have not ended."""
        return frozenset(self._running)

    @property
    def interrupted(self) -> int:
        """How many trials were interrupted; they do not count."""
        return self._interrupted

    def begin(self, number: int) -> None:
        """A trial was asked for."""
        self._running.add(number)

    def end(self, number: int, result: TrialResult, run_id: str | None) -> None:
        """A trial ended, this way or that."""
        self._running.discard(number)
        if result.status is Status.INTERRUPTED:
            self._interrupted += 1
            return
        kept = replace(result, history=tuple(StepLoss(**step) for step in thinned(result.history)))
        insort(self._ended, TrialRecord(number, kept, run_id), key=lambda record: record.number)


def record_to_json(result: TrialResult, run_id: str | None) -> dict[str, Any]:
    """A trial's result as it lies in the database, with the id of its MLflow run; its learning curve is thinned."""
    return {**to_json(replace(result, history=())), "history": thinned(result.history), "run_id": run_id}


def record_from_json(number: int, data: Mapping[str, Any]) -> TrialRecord:
    """The record that `record_to_json` wrote."""
    return TrialRecord(number, trial_result_from_json(data), data.get("run_id"))


def rescored_in(attributes: Mapping[str, Any]) -> dict[int, Any]:
    """By number what came of trials that were scored anew, out of the study's user attributes: Optuna lets nobody change a trial
    that has ended.
    """
    return {int(name.removeprefix(RESCORED)): kept for name, kept in attributes.items() if name.startswith(RESCORED)}


def was_interrupted(trial: FrozenTrial) -> bool:
    """Ended without a result, as trials did that earlier versions interrupted; the others wait again."""
    result = trial.user_attrs.get(RESULT)
    return trial.state.is_finished() and (result is None or result["status"] == Status.INTERRUPTED.value)
