"""What is compared: which ranks, with which seeds, on which examples, and which ranks are left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.records import Certification, Declaration, EvaluatedTrial, Status
from sweep.verdict.moments import Array

_SAME = 1e-6
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rank that no verdict is about.

    Attributes:
        status: how its first trial without a result ended.
        reason: why, in words.
    """

    rank: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class LadderData:
    """The tables that the statistics are computed on.

    Attributes:
        ranks: those compared, ascending.
        losses: for each rank nats a token, (seeds, examples).
        answered: whether every trial has a score of the task metric for each example.
        costs: for each rank 1 - score, (seeds, examples); None where examples have no scores, or where the metric is no mean
            of them (`macro_f1`).
        tokens: the completion tokens of each example, the weights of `losses`.
        base: the unadapted base's nats a token, None if it was not scored.
        base_costs: its 1 - score, None where there is none.
        looks: the numbers of seeds at which the verdict is computed; empty before the first.
        left_out: ranks of the ladder with a trial that has no result: one that is not dependable is no reference.
        pending: ranks of the ladder that have not as many seeds yet as the first look takes.
    """

    ranks: tuple[int, ...]
    losses: tuple[Array, ...]
    answered: bool
    costs: tuple[Array, ...] | None
    tokens: Array
    base: Array | None
    base_costs: Array | None
    looks: tuple[int, ...]
    left_out: tuple[LeftOut, ...]
    pending: tuple[int, ...]

    def mean_losses(self) -> tuple[float, ...]:
        """Each rank's mean loss over its seeds, nats a token, rounded so that equal ranks are equal."""
        means = (float(np.average(table.mean(axis=0), weights=self.tokens)) for table in self.losses)
        return tuple(round(mean, _DIGITS) for mean in means)


def compared(certification: Certification, declared: Declaration, metric: str) -> LadderData:
    """Sorts out what can be compared.

    Args:
        declared: what is declared by now; ranks that were declared at first and trained are held on to.
    """
    first = min(certification.looks, default=1)
    ranks, pending, left_out = [], [], []
    for rank in sorted({*declared.ladder, *(r for r in certification.declared.ladder if certification.complete(r))}):
        broken = _broken(certification, rank)
        if broken is not None:
            left_out.append(broken)
        elif len(certification.complete(rank)) < first:
            pending.append(rank)
        else:
            ranks.append(rank)
    trials = [certification.complete(rank) for rank in ranks]
    base = certification.base
    # while more examples are being scored, not every trial has them yet
    counts = [len(trial.nats) for found in trials for trial in found] + ([len(base.nats)] if base is not None else [])
    examples = min([len(certification.tokens), *counts])
    tokens = np.asarray(certification.tokens[:examples], dtype=np.float64)
    scored = bool(ranks) and all(_is_mean_of_scores(trial, metric) for found in trials for trial in found)
    base_scored = base is not None and _is_mean_of_scores(base, metric)
    return LadderData(
        ranks=tuple(ranks),
        losses=tuple(np.array([trial.nats[:examples] for trial in found]) / tokens for found in trials),
        answered=all(trial.scores for found in trials for trial in found),
        costs=tuple(1 - np.array([trial.scores[:examples] for trial in found]) for found in trials) if scored else None,
        tokens=tokens,
        base=None if base is None else np.array(base.nats[:examples]) / tokens,
        base_costs=1 - np.array(base.scores[:examples]) if base is not None and base_scored else None,
        looks=certification.looks,
        left_out=tuple(left_out),
        pending=tuple(pending),
    )


def _broken(certification: Certification, rank: int) -> LeftOut | None:
    for trial in certification.trials:
        if trial.rank == rank and trial.status not in (Status.COMPLETE, Status.INTERRUPTED):
            return LeftOut(rank, trial.status.value, trial.reason or "no reason is known")
    return None


def _is_mean_of_scores(trial: EvaluatedTrial, metric: str) -> bool:
    value = trial.metric(metric)
    return value is not None and bool(trial.scores) and abs(_mean(trial.scores) - value) < _SAME


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
