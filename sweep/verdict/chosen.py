"""Which trial's adapter a study hands out."""

from __future__ import annotations

from statistics import fmean

from sweep.records import StudyRecord, TrialRecord, loss_of
from sweep.verdict.conclusion import Conclusion


def chosen(record: StudyRecord, conclusion: Conclusion | None) -> TrialRecord | None:
    """The certify trial of the chosen rank with the lowest loss on certify; None if the study has no complete trial.

    Where no rank is chosen, it is the rank with the lowest mean on certify; where nothing was certified, the best explored
    trial.
    """
    certification = record.certification
    if conclusion is None or certification is None:
        return record.best()
    ranks = sorted({scored.trial.result.spec.rank for scored in certification.trials})
    by_rank = {rank: [scored.trial for scored in certification.complete(rank)] for rank in ranks}
    rank = conclusion.rank
    if rank is None:
        left_out = {left.rank for left in conclusion.left_out}
        trained = [one for one in ranks if by_rank[one]]
        dependable = [one for one in trained if one not in left_out]
        rank = min(dependable or trained, key=lambda one: (_mean_loss(by_rank[one]), one))
    return min(by_rank[rank], key=lambda trial: loss_of(trial.result))


def _mean_loss(trials: list[TrialRecord]) -> float:
    """Rounded, so that of equal ranks the smaller one is taken."""
    return round(fmean(loss_of(trial.result) for trial in trials), 12)
