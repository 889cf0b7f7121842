"""How many general questions an adapter answers right, beside the base: the other half of forgetting. It takes no part in the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import ndtri

from sweep.records import EvaluatedTrial, Measures

CONFIDENCE = 0.95
"""Of the two-sided interval."""


@dataclass(frozen=True, slots=True)
class AnswersChange:
    """The change in the share of general questions that are answered right.

    Attributes:
        questions: their number.
        right: how many are answered right with the adapter.
        before: how many by the bare base.
        low, high: the interval of the change of the share, over questions that could have been asked.
    """

    questions: int
    right: int
    before: int
    low: float
    high: float

    @property
    def change(self) -> float:
        """Of the share, between -1 and 1; negative if the adapter answers fewer right."""
        return (self.right - self.before) / self.questions


def answers_change(before: Sequence[bool], after: Sequence[bool]) -> AnswersChange | None:
    """The change between two evaluations of the same questions; None without questions, or if they are not the same number.

    The interval is that of Agresti and Min (2005, https://doi.org/10.1002/sim.1781) for matched proportions: half a question is added
    to each cell of the two-by-two table before Wald's formula, which makes it hold for small numbers.
    """
    count = len(before)
    if count == 0 or count != len(after):
        return None
    gained = sum(now and not then for then, now in zip(before, after, strict=True)) + 0.5
    lost = sum(then and not now for then, now in zip(before, after, strict=True)) + 0.5
    whole = count + 2
    centre = (gained - lost) / whole
    error = math.sqrt(gained + lost - (gained - lost) ** 2 / whole) / whole
    width = float(ndtri((1 + CONFIDENCE) / 2)) * error
    return AnswersChange(count, sum(after), sum(before), max(-1.0, centre - width), min(1.0, centre + width))


def change_between(before: Measures, after: Measures) -> AnswersChange | None:
    """The change between two trials; None also if one is of an earlier version, where another comparison made an answer right."""
    if before.general_of_kind != after.general_of_kind:
        return None
    return answers_change(before.general_right, after.general_right)


@dataclass(frozen=True, slots=True)
class MeanChange:
    """The change in the share of general questions answered right, mean over seeds.

    Attributes:
        low, high: its interval over questions that could have been asked.
    """

    change: float
    low: float
    high: float


def mean_change(before: Measures, after: Sequence[Measures]) -> MeanChange | None:
    """The mean of several adapters' changes; None without questions, or if an adapter was not asked the same ones.

    Adapters are asked the same questions, so their errors may be the same: the mean's interval is as wide as theirs are on average, which
    is never too short (the standard deviation of a mean is at most the mean of the standard deviations).
    """
    each = [change_between(before, own) for own in after]
    known = [change for change in each if change is not None]
    if not known or len(known) < len(each):
        return None
    return MeanChange(
        *(fmean(values) for values in zip(*((one.change, one.low, one.high) for one in known), strict=True))
    )


def change_on_test(tested: Mapping[str, EvaluatedTrial]) -> AnswersChange | None:
    """That of the adapter which is handed out.

    Args:
        tested: the trials on test, see `sweep.verdict.conclusion.on_test`.
    """
    base, own = tested.get("base"), tested.get("goldilocks")
    if base is None or own is None:
        return None
    return change_between(base.measures, own.measures)
