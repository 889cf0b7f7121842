"""Conversion between arms and points of the search space of one method, as Optuna handles them; `conditional.py` has several."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sweep.records import Arm, SearchSpace, StudyPlan, Value

Values = Mapping[str, int | float | str | bool]
"""One point of the space by parameter: log2_r, alpha_ratio, dropout, targets, learning_rate, as far as the method has them, and
`method.NAME` for its own parameters."""

LOG2_RANK = "log2_r"
ALPHA_RATIO = "alpha_ratio"
DROPOUT = "dropout"
TARGETS = "targets"
LEARNING_RATE = "learning_rate"
OWN = "method."
"""Begins the name of a method's own parameter."""

PRACTITIONERS_RANKS = (8, 16, 32)
"""Common starting points: r = 8, 16, 32 with alpha = 2r on the query and value projections."""


def log2_ranks(space: SearchSpace) -> tuple[int, int, int]:
    """Lowest, highest and step of log2(rank). An integer keeps the order of ranks, which a categorical would lose."""
    exponents = [rank.bit_length() - 1 for rank in space.ranks]
    return exponents[0], exponents[-1], exponents[1] - exponents[0] if len(exponents) > 1 else 1


def choices(space: SearchSpace) -> dict[str, tuple[int | float | str | bool, ...]]:
    """The parameters that are chosen from a list, in the order in which they are proposed; rank and rate are apart."""
    lists: dict[str, tuple[int | float | str | bool, ...]] = {
        ALPHA_RATIO: space.alpha_ratios,
        DROPOUT: space.dropouts,
        TARGETS: space.targets,
    }
    return {
        **{name: tuple(values) for name, values in lists.items() if values},
        **{f"{OWN}{name}": values for name, values in space.own},
    }


def arm_of(values: Values, recipe: Arm) -> Arm:
    """The arm at a point of the space; the recipe has the values that are not searched."""
    return replace(
        recipe,
        rank=2 ** int(values[LOG2_RANK]) if LOG2_RANK in values else recipe.rank,
        alpha_ratio=float(values.get(ALPHA_RATIO, recipe.alpha_ratio)),
        dropout=float(values.get(DROPOUT, recipe.dropout)),
        targets=tuple(str(values[TARGETS]).split(",")) if TARGETS in values else recipe.targets,
        learning_rate=float(values[LEARNING_RATE]),
        own=tuple((name, values.get(f"{OWN}{name}", value)) for name, value in recipe.own),
    )


def point_of(arm: Arm, space: SearchSpace) -> Values:
    """The point of an arm: the inverse of `arm_of`."""
    fields: dict[str, int | float | str | bool] = {
        ALPHA_RATIO: arm.alpha_ratio,
        DROPOUT: arm.dropout,
        TARGETS: ",".join(arm.targets),
        **{f"{OWN}{name}": value for name, value in arm.own},
    }
    return {
        **({LOG2_RANK: arm.rank.bit_length() - 1} if space.ranks else {}),
        **{name: fields[name] for name in choices(space)},
        LEARNING_RATE: arm.learning_rate,
    }


def largest_arms(plan: StudyPlan) -> tuple[Arm, ...]:
    """Arms of which one takes at least as much memory as any that the study may train; the base's shapes decide which."""
    if plan.certify and plan.declaration.arms:
        return tuple(each.arm for each in plan.declaration.arms)
    return tuple(
        _largest(each.arm, each.space, plan.declaration.ladder if plan.certify else ()) for each in plan.searched
    )


def _largest(recipe: Arm, space: SearchSpace, ladder: Sequence[int]) -> Arm:
    """An arm of one method with the most of everything that is searched of it or compared."""
    targets = {name for entry in space.targets for name in entry.split(",")}
    own = dict(space.own)
    return replace(
        recipe,
        rank=max(recipe.rank, *space.ranks, *ladder) if recipe.rank else 0,
        targets=tuple(sorted(targets.union(recipe.targets))),
        dropout=max(recipe.dropout, *space.dropouts, 0.0),
        own=tuple((name, _most(value, own.get(name, ()))) for name, value in recipe.own),
    )


def _most(value: Value, searched: Sequence[Value]) -> Value:
    """The largest number, such as of virtual tokens; other parameters keep their value."""
    numbers = [each for each in (value, *searched) if isinstance(each, int | float)]
    return max(numbers) if isinstance(value, int | float) else value


def first_points(plan: StudyPlan) -> list[Values]:
    """The points to try first: `search.arms`, or ranks 8, 16 and 32 with the plan's own recipe (by default alpha = 2r, q and v).

    Default ranks outside the space are left out; if none is inside, the middle rank of the space is used. Recipe values outside the
    space are replaced by its nearest value, target sets by its first.
    """
    if plan.search.arms:
        return [point_of(arm, plan.space) for arm in plan.search.arms]
    space, recipe = plan.space, plan.arm
    if not space.ranks:
        return [nearest_point(recipe, space)]
    ranks = [rank for rank in PRACTITIONERS_RANKS if rank in space.ranks] or [space.ranks[len(space.ranks) // 2]]
    return [nearest_point(replace(recipe, rank=rank), space) for rank in ranks]


def nearest_point(arm: Arm, space: SearchSpace) -> Values:
    """The point of the space that is nearest to an arm. The arm's rank is one of the space's, if that has any."""
    low, high = space.learning_rate
    point = point_of(replace(arm, learning_rate=min(max(arm.learning_rate, low), high)), space)
    return {name: _nearest(value, choices(space).get(name)) for name, value in point.items()}


def _nearest(
    value: int | float | str | bool, values: Sequence[int | float | str | bool] | None
) -> int | float | str | bool:
    """The value if it is among those of the space, else the nearest number, or the first text; any value where there is no list."""
    if values is None or value in values:
        return value
    numbers = [each for each in values if isinstance(each, int | float)]
    return min(numbers, key=lambda each: abs(each - float(value))) if numbers else values[0]


def grid_points(space: SearchSpace, rates: int, seed: int) -> list[Values]:
    """Every point of the grid, shuffled with `seed`; learning rates are evenly spaced on the log scale."""
    return shuffled(every_point(space, rates), seed)


def every_point(space: SearchSpace, rates: int) -> list[Values]:
    """Every point of the grid in order."""
    low, high = space.learning_rate
    steps = [index / (rates - 1) for index in range(rates)] if rates > 1 and high > low else [0.5]
    learning_rates = [math.exp(math.log(low) + step * (math.log(high) - math.log(low))) for step in steps]
    listed = choices(space)
    if space.ranks:
        listed = {LOG2_RANK: tuple(rank.bit_length() - 1 for rank in space.ranks), **listed}
    return [
        {**dict(zip(listed, values, strict=True)), LEARNING_RATE: min(max(rate, low), high)}
        for values in itertools.product(*listed.values())
        for rate in learning_rates
    ]


def shuffled(points: list[Values], seed: int) -> list[Values]:
    """The points of a grid in the order in which they are tried."""
    random.Random(f"grid {seed}").shuffle(points)  # noqa: S311 (no secret)
    return points
