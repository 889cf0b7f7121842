"""One promotion test: the challenger is promoted if it is not inferior on the old examples and better on the new ones.

Both must be shown, each at the full level of the test. A challenger that should not be promoted fails one of the two in truth, and that one
test errs with at most the level (intersection-union test, Berger 1982). So nothing is divided between old and new.

The losses are of two trained adapters as they are: the claim is about them, over all examples that could have been drawn, and not about
other seeds of their recipes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sweep.verdict.promotion.bound import p_values, upper_bound
from sweep.verdict.promotion.losses import PairedLosses

FEWEST = 20
"""Units on each side, with fewer of which no test is made. The level is not shown to hold with fewer."""


class Answer(StrEnum):
    """What a promotion test leads to."""

    PROMOTE = "promote"
    KEEP = "keep"
    TOO_FEW = "too_few"
    """No test was made, which costs nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """The comparison on one set of examples, in nats per completion token.

    Attributes:
        units: independent groups of examples.
        difference: the challenger's loss minus the champion's.
        upper: its upper bound at the level of the test.
        limit: what the bound must be below: the margin on the old examples, zero on the new ones.
        p_value: the smallest level at which the difference is shown to be below the limit.
    """

    examples: int
    units: int
    difference: float
    upper: float
    limit: float
    p_value: float


@dataclass(frozen=True, slots=True)
class PromotionTest:
    """A promotion test and its answer.

    Attributes:
        level: of both sides.
        reason: why, in words.
    """

    answer: Answer
    level: float
    old: Side
    new: Side
    reason: str


def judge_challenger(old: PairedLosses, new: PairedLosses, margin: float, level: float) -> PromotionTest:
    """Tests a challenger.

    Args:
        old: challenger minus champion on certify examples that the champion was judged by.
        new: the same on certify examples that have come since.
        margin: how much worse the challenger may be on the old examples, in nats per token.
        level: the chance of error, from `level_of`.

    Raises:
        ValueError: the margin is not positive and finite, or the level is not between 0 and 1.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin: must be above 0 nats per token, not {margin}")
    if not 0 < level < 1:
        raise ValueError(f"level: must lie between 0 and 1, not {level}")
    enough = min(old.units, new.units) >= FEWEST
    on_old, on_new = _side(old, margin, level, enough=enough), _side(new, 0.0, level, enough=enough)
    if not enough:
        few = " and ".join(
            f"{side.units} {name}" for name, side in (("old", on_old), ("new", on_new)) if side.units < FEWEST
        )
        reason = f"only {few} groups of certify examples; a test needs {FEWEST} of each"
        return PromotionTest(Answer.TOO_FEW, level, on_old, on_new, reason)
    holds, better = on_old.p_value <= level, on_new.p_value <= level
    reason = (
        f"on the new examples it is {'' if better else 'not '}shown to be better, "
        f"on the old ones {'' if holds else 'not '}shown to be within the margin"
    )
    return PromotionTest(Answer.PROMOTE if holds and better else Answer.KEEP, level, on_old, on_new, reason)


def _side(losses: PairedLosses, limit: float, level: float, *, enough: bool) -> Side:
    if not enough:
        return Side(losses.examples, losses.units, losses.mean, math.inf, limit, 1.0)
    return Side(
        examples=losses.examples,
        units=losses.units,
        difference=losses.mean,
        upper=upper_bound(losses.difference, losses.tokens, level),
        limit=limit,
        p_value=float(p_values(losses.difference - limit * losses.tokens)),
    )
