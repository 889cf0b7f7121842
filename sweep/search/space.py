"""Conversion between arms and points of the search space, as Optuna handles them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import replace

from sweep.records import Arm, SearchSpace, StudyPlan

Values = Mapping[str, int | float | str]
"""One point of the space by parameter: log2_r, alpha_ratio, dropout, targets, learning_rate."""

LOG2_RANK = "log2_r"
ALPHA_RATIO = "alpha_ratio"
DROPOUT = "dropout"
TARGETS = "targets"
LEARNING_RATE = "learning_rate"

PRACTITIONERS_RANKS = (8, 16, 32)
"""Common starting points: r = 8, 16, 32 with alpha = 2r on the query and value projections."""


def log2_ranks(space: SearchSpace) -> tuple[int, int, int]:
    """Lowest, highest and step of log2(rank). An integer keeps the order of ranks, which a categorical would lose."""
    exponents = [rank.bit_length() - 1 for rank in space.ranks]
    return exponents[0], exponents[-1], exponents[1] - exponents[0] if len(exponents) > 1 else 1


def arm_of(values: Values, recipe: Arm) -> Arm:
    """The arm at a point of the space; the recipe has the values that are not searched."""
    return replace(
        recipe,
        rank=2 ** int(values[LOG2_RANK]),
        alpha_ratio=float(values[ALPHA_RATIO]),
        dropout=float(values[DROPOUT]),
        targets=tuple(str(values[TARGETS]).split(",")),
        learning_rate=float(values[LEARNING_RATE]),
    )


def point_of(arm: Arm) -> Values:
    """The point of an arm: the inverse of `arm_of`."""
    return {
        LOG2_RANK: arm.rank.bit_length() - 1,
        ALPHA_RATIO: arm.alpha_ratio,
        DROPOUT: arm.dropout,
        TARGETS: ",".join(arm.targets),
        LEARNING_RATE: arm.learning_rate,
    }


def largest_arm(plan: StudyPlan) -> Arm:
    """An arm that takes at least as much memory as any that the study may train."""
    targets = {name for entry in plan.space.targets for name in entry.split(",")} | set(plan.arm.targets)
    ranks = (plan.arm.rank, *plan.space.ranks, *(plan.declaration.ladder if plan.certify else ()))
    return replace(
        plan.arm,
        rank=max(ranks),
        targets=tuple(sorted(targets)),
        dropout=max(plan.arm.dropout, *plan.space.dropouts),
    )


def first_points(plan: StudyPlan) -> list[Values]:
    """The points to try first: `search.arms`, or ranks 8, 16 and 32 with the plan's own recipe (by default alpha = 2r, q and v).

    Default ranks outside the space are left out; if none is inside, the middle rank of the space is used. Recipe values outside the
    space are replaced by its nearest value, target sets by its first.
    """
    if plan.search.arms:
        return [point_of(arm) for arm in plan.search.arms]
    space, recipe = plan.space, plan.arm
    ranks = [rank for rank in PRACTITIONERS_RANKS if rank in space.ranks] or [space.ranks[len(space.ranks) // 2]]
    targets = ",".join(recipe.targets)
    low, high = space.learning_rate
    return [
        {
            LOG2_RANK: rank.bit_length() - 1,
            ALPHA_RATIO: min(space.alpha_ratios, key=lambda ratio: abs(ratio - recipe.alpha_ratio)),
            DROPOUT: min(space.dropouts, key=lambda dropout: abs(dropout - recipe.dropout)),
            TARGETS: targets if targets in space.targets else space.targets[0],
            LEARNING_RATE: min(max(recipe.learning_rate, low), high),
        }
        for rank in ranks
    ]


def grid_points(space: SearchSpace, rates: int, seed: int) -> list[Values]:
    """Every point of the grid, shuffled with `seed`; learning rates are evenly spaced on the log scale."""
    low, high = space.learning_rate
    steps = [index / (rates - 1) for index in range(rates)] if rates > 1 and high > low else [0.5]
    learning_rates = [math.exp(math.log(low) + step * (math.log(high) - math.log(low))) for step in steps]
    axes = ([rank.bit_length() - 1 for rank in space.ranks], space.alpha_ratios, space.dropouts, space.targets)
    points: list[Values] = [
        {
            LOG2_RANK: rank,
            ALPHA_RATIO: ratio,
            DROPOUT: dropout,
            TARGETS: targets,
            LEARNING_RATE: min(max(rate, low), high),
        }
        for rank, ratio, dropout, targets in itertools.product(*axes)
        for rate in learning_rates
    ]
    random.Random(f"grid {seed}").shuffle(points)  # noqa: S311 (no secret)
    return points
