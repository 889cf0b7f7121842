"""Whether the champion is still good on new data: what it gains over the base there, beside what it gained where it was judged.

The losses are on tune. They decide only whether a challenger is trained, and so leave the certify examples untouched (`budget`).

With D the champion's loss minus the base's, in nats per token, and m the margin as a share of the gain, the contrast is

    D(new) - (1 - m) D(old)      below zero: it keeps more than 1 - m of its gain

The two sets of examples are independent. Each part of the variance has its own Student quantile (Banerjee 1960), and the bound is moved
outward for long tails as in `sweep.verdict.bounds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtrit

from sweep.verdict.bounds import Array, joined
from sweep.verdict.bounds import Side as BoundSide
from sweep.verdict.promotion.losses import GainLosses, PairedLosses

FEWEST = 8
"""Units of each set, with fewer of which the condition is unclear."""


class Condition(StrEnum):
    """The champion on new data."""

    GOOD = "good"
    """Shown to keep its gain but for the margin: nothing is trained."""
    WORSE = "worse"
    """Shown not to: a challenger is trained."""
    UNCLEAR = "unclear"
    """Neither: a challenger is trained, since only a promotion could do harm, and that has a test of its own."""


@dataclass(frozen=True, slots=True)
class ConditionCheck:
    """The condition, and what it was found from.

    Attributes:
        retained: the share of its gain that the champion is estimated to keep; NaN if it gained nothing before.
        gain_before, gain_after: what it gains over the base, in nats per token.
        lower, upper: bounds of `D(new) - (1 - m) D(old)`, alpha on each side, in nats per token.
        units: independent groups of examples, before and after.
    """

    condition: Condition
    retained: float
    gain_before: float
    gain_after: float
    lower: float
    upper: float
    units: tuple[int, int]


def check_condition(losses: GainLosses, margin: float, alpha: float) -> ConditionCheck:
    """The champion's condition. Each of `good` and `worse` is said wrongly with a chance of at most alpha, on any one night.

    A wrong `good` delays a training until the data change again; a wrong `worse` costs a training. Neither promotes anything, so
    alpha is not divided among nights.

    Args:
        losses: champion minus base, on tune examples of the data it was judged by and on those that have come since.
        margin: the share of the gain that may be lost.
        alpha: one-sided.

    Raises:
        ValueError: the margin or alpha is not between 0 and 1.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin: must be a share of the gain between 0 and 1, not {margin}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha: must lie between 0 and 0.5, not {alpha}")
    before, after = losses.before, losses.after
    lower, upper = -math.inf, math.inf
    if min(before.units, after.units) >= FEWEST:
        lower, upper = _bounds(before, after, 1 - margin, alpha)
    gained = before.units > 0 and before.mean < 0
    condition = Condition.UNCLEAR
    if gained and upper < 0:
        condition = Condition.GOOD
    elif gained and lower > 0:
        condition = Condition.WORSE
    return ConditionCheck(
        condition=condition,
        retained=after.mean / before.mean if gained else math.nan,
        gain_before=-before.mean,
        gain_after=-after.mean,
        lower=lower,
        upper=upper,
        units=(before.units, after.units),
    )


def _bounds(before: PairedLosses, after: PairedLosses, kept: float, alpha: float) -> tuple[float, float]:
    """The bounds of `after - kept * before`."""
    value = after.mean - kept * before.mean
    parts_before, parts_after = -kept * _parts(before), _parts(after)
    variances = [_variance(parts_before), _variance(parts_after)]
    quantile = stdtrit(before.units - 1, 1 - alpha)
    skew = (parts_before**3).sum() + (parts_after**3).sum()
    lower, upper = (
        float(
            joined(
                side,
                np.asarray(quantile**2 * variances[0]),
                np.asarray(variances[0]),
                np.asarray(variances[1]),
                np.asarray(skew),
                after.units - 1,
                np.asarray(alpha),
            )
        )
        for side in (BoundSide.LOWER, BoundSide.UPPER)
    )
    return value - lower, value + upper


def _parts(losses: PairedLosses) -> Array:
    """What each unit adds to the deviation of the mean, which is a ratio (Cochran 1977, ch. 6)."""
    parts: Array = (losses.difference - losses.mean * losses.tokens) / losses.tokens.sum()
    return parts


def _variance(parts: Array) -> float:
    return float((parts**2).sum() * len(parts) / (len(parts) - 1))
