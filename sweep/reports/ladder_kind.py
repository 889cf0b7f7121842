"""The two kinds of ladder, as tables, charts and words need them: each rank trained, or cut from the largest one's adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from sweep.config.units import show_bytes, show_seconds
from sweep.methods import arm_words
from sweep.records import Certification, CompletedTrial, StudyRecord, TrialRecord, TrialSpec
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.ladder import RankResult
from sweep.verdict.terms import METHODS, RANKS, Terms

EDGE = "!"
EDGE_MEANS = f"{EDGE} at the edge of the learning rates allowed"
ENERGY = "share of the trained update (its squared norm) that is left after the cut"


@dataclass(frozen=True, slots=True)
class TopTraining:
    """The trainings at the largest rank of a cut ladder: every adapter of the ladder comes from them.

    Attributes:
        at_edge: whether its best learning rate is at the edge of the range that may be tried.
        seconds: of one training, the median over seeds.
        peak_bytes: of the seed that needed most.
    """

    rank: int
    learning_rate: float
    at_edge: bool
    seeds: int
    seconds: float
    peak_bytes: int

    def words(self) -> str:
        """One line below a table."""
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return (
            f"trained at rank {self.rank}, rate {self.learning_rate:.1e}{EDGE if self.at_edge else ''}, {seeds}, "
            f"{show_seconds(self.seconds)} each, peak memory {show_bytes(self.peak_bytes)}; smaller ranks are cut from these adapters"
        )


@dataclass(frozen=True, slots=True)
class LadderKind:
    """How the adapters of a ladder were made, and what they are compared with.

    Attributes:
        is_cut: whether smaller ranks were cut from the adapters of the largest.
        reference: where a gap is measured from: `the best rank`, or `the uncut adapter of rank 32`.
        short: the same in the head of a column.
        axis: the gap as the title of an axis.
        training: of a cut ladder, once a training is complete; else None.
        has_gaps: whether gaps are known: of a cut ladder, once it is compared with uncut adapters.
        terms: what its steps are called.
    """

    is_cut: bool
    reference: str
    short: str
    axis: str
    training: TopTraining | None = None
    has_gaps: bool = True
    terms: Terms = RANKS

    def is_reference(self, row: RankResult) -> bool:
        """Whether the rank is the uncut one, which has no gap to itself."""
        return self.is_cut and not is_cut(row.trials[0])

    def gap(self, row: RankResult) -> float | None:
        """Of the rank; None if it is the uncut one, or if nothing was compared."""
        return row.diff_to_best if self.has_gaps and not self.is_reference(row) else None

    def bounds(self, row: RankResult) -> tuple[float | None, float | None]:
        """Of the gap, lower and upper; None where there is none."""
        return (None, None) if self.is_reference(row) else (row.lower_bound, row.upper_bound)


TRAINED = LadderKind(is_cut=False, reference="the best rank", short="best", axis="gap to the best rank")
ARMS = LadderKind(is_cut=False, reference="the best method", short="best", axis="gap to the best method", terms=METHODS)


def ladder_kind(record: StudyRecord, conclusion: Conclusion | None) -> LadderKind:
    """The kind of the ladder that is shown; that of explored trials, if nothing was certified, is `TRAINED`."""
    certification = record.certification
    rank = certification.declared.cut_from if certification else None
    if conclusion is not None and certification is not None and certification.declared.arms:
        return ARMS
    if conclusion is None or certification is None or rank is None:
        return TRAINED
    training = _top_training(certification, rank)
    return LadderKind(
        is_cut=True,
        reference=f"the uncut adapter of rank {rank}",
        short="uncut",
        axis=f"gap to the uncut rank {rank}",
        training=training,
        has_gaps=conclusion.verdict is not None,
    )


def _top_training(certification: Certification, rank: int) -> TopTraining | None:
    trained = certification.complete(rank)
    if not trained:
        return None
    choice = certification.rate_of(rank)
    return TopTraining(
        rank=rank,
        learning_rate=trained[0].arm.learning_rate,
        at_edge=choice is not None and choice.at_edge,
        seeds=len(trained),
        seconds=median(trial.measures.train_seconds for trial in trained),
        peak_bytes=max(trial.measures.peak_bytes for trial in trained),
    )


def is_cut(trial: TrialRecord | TrialSpec) -> bool:
    """Whether the trial's adapter is cut from a larger one, so that nothing is trained for it."""
    return trial.arm is not None and trial.arm.cut_from is not None


def made_of(trial: CompletedTrial) -> str:
    """`rank 32`, or `rank 4, cut from rank 32`; of other methods their words."""
    return arm_words(trial.arm) + (f", cut from rank {trial.arm.cut_from}" if is_cut(trial) else "")


def kept_words(row: RankResult) -> str:
    """The mean over seeds of the energy that the cut keeps, or `uncut`; `-` if it was not recorded."""
    if not is_cut(row.trials[0]):
        return "uncut"
    return share_words(row.energy_kept) if row.energy_kept is not None else "-"


def share_words(share: float) -> str:
    """`93.1 %`; rounded down, so that nothing that was cut is shown as whole."""
    return f"{math.floor(1000 * share + 1e-9) / 10:.1f} %"
