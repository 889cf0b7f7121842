"""The recipe of a challenger: the champion's, or one with a learning rate beside it. Chosen on tune alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from sweep.records import Arm
from sweep.study.paired_losses import Outcomes, mean_loss, paired
from tasks import Example

FACTORS = (0.5, 2.0)
"""Of the learning rate, around the champion's."""


def chosen_recipe(
    arm: Arm,
    outcomes_of: Callable[[Sequence[Arm]], Sequence[Outcomes | None]],
    champion: Outcomes,
    old: Sequence[Example],
    new: Sequence[Example],
    margin: float,
) -> Arm:
    """Tries the champion's recipe first, and its neighbours only if that does not look like one that can be promoted.

    Args:
        arm: the champion's recipe.
        outcomes_of: trains recipes and returns their outcomes on tune; None for one that could not be trained.
        champion: the champion's outcomes on tune.
        old, new: the tune examples that the champion was judged with, and those that have come since.
        margin: how much worse a challenger may be on old examples, in nats per token.

    Returns:
        The recipe with the lowest loss on tune, of those that were tried.
    """
    (first,) = outcomes_of([arm])
    if first is not None and _looks_better(first, champion, old, new, margin):
        return arm
    others = [replace(arm, learning_rate=arm.learning_rate * factor) for factor in FACTORS]
    tried = [(arm, first), *zip(others, outcomes_of(others), strict=True)]
    examples = [*old, *new]
    losses = [(mean_loss(outcomes, examples), each) for each, outcomes in tried if outcomes is not None]
    known = [(loss, each) for loss, each in losses if not math.isnan(loss)]
    return min(known, key=lambda pair: pair[0])[1] if known else arm


def _looks_better(
    outcomes: Outcomes, champion: Outcomes, old: Sequence[Example], new: Sequence[Example], margin: float
) -> bool:
    on_old, on_new = (paired(outcomes, champion, examples) for examples in (old, new))
    return on_new.mean < 0 and not on_old.mean >= margin  # NaN without old examples
