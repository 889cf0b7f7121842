"""Which trial's adapter a study hands out."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from sweep.records import Certification, CompletedTrial, StudyRecord
from sweep.verdict.conclusion import Conclusion


def chosen(record: StudyRecord, conclusion: Conclusion | None) -> CompletedTrial | None:
    """The certify trial of the chosen rank with the lowest loss on certify; None if the study has no complete trial.

    Where no rank is chosen, it is the rank with the lowest mean on certify; where nothing was certified, the best explored
    trial.
    """
    certification = record.certification
    if conclusion is None or certification is None:
        return record.best()
    rank = conclusion.rank or best_rank(certification, (left.rank for left in conclusion.left_out))
    return min(certification.complete(rank), key=lambda trial: trial.loss)


def best_rank(certification: Certification, left_out: Iterable[int]) -> int:
    """The rank with the lowest mean loss on certify, of those that could be compared if there are any."""
    unfit = set(left_out)
    by_rank = {rank: certification.complete(rank) for rank in certification.complete_ranks()}
    trained = list(by_rank)
    dependable = [rank for rank in trained if rank not in unfit]
    return min(dependable or trained, key=lambda rank: (_mean_loss(by_rank[rank]), rank))


def _mean_loss(trials: list[CompletedTrial]) -> float:
    """Rounded, so that of equal ranks the smaller one is taken."""
    return round(fmean(trial.loss for trial in trials), 12)
