"""When the ladder's answer may have moved, so that a study should be run again on the present data."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.verdict.promotion.condition import Condition

MOST_PROMOTIONS = 3
LEAST_KEPT = 0.5


def why_judge_again(promotions: int, kept: float, conditions: Sequence[str]) -> str | None:
    """Why rank and margin should be judged again; None while the verdict stands for the data.

    Args:
        promotions: number since the verdict. After a few, hardly any test can show a difference.
        kept: the share of the verdict's training rows that are still in the training data.
        conditions: of the champion in use, night by night. Twice worse means that a challenger of the same recipe was no way out.
    """
    if promotions >= MOST_PROMOTIONS:
        return f"{promotions} promotions since the verdict leave little for further tests; a new verdict begins a new count"
    if kept < LEAST_KEPT:
        return f"only {kept:.0%} of the training rows of the verdict are left; another rank may be enough for the present data"
    if list(conditions[-2:]) == [Condition.WORSE, Condition.WORSE]:
        return "the champion is worse on two changes in a row, and challengers of its recipe were not promoted"
    return None
