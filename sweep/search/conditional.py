"""The whole search space of a plan: of one method, or of several, where each has its own parameters.

In a search over methods a point has the parameter `method`, and those of its method, whose names begin with the method's
(`dora/log2_r`, `prompt_tuning/learning_rate`). So each method has its own ranges, and Optuna never takes a value of one method for that
of another. A search of one method has the names without a prefix.
"""

from __future__ import annotations

from dataclasses import replace

import optuna

from sweep.records import Arm, SearchedMethod, StudyPlan
from sweep.search import space as one
from sweep.search.space import LEARNING_RATE, LOG2_RANK, Values, choices, log2_ranks

METHOD = "method"
"""The parameter of a search over methods that says which one."""


def arm_at(values: Values, plan: StudyPlan) -> Arm:
    """The arm at a point of the plan's space."""
    if not plan.methods:
        return one.arm_of(values, plan.arm)
    searched = _named(str(values[METHOD]), plan)
    return one.arm_of(own_values(values, searched.name), searched.arm)


def point_at(arm: Arm, plan: StudyPlan) -> Values:
    """The point of an arm: the inverse of `arm_at`."""
    if not plan.methods:
        return one.point_of(arm, plan.space)
    return _point(arm.method, one.point_of(arm, _named(arm.method, plan).space))


def first_points(plan: StudyPlan) -> list[Values]:
    """The points to try first. In a search over methods `search.arms`, then one for each method that these leave out: its own recipe."""
    if not plan.methods:
        return one.first_points(plan)
    given = {arm.method for arm in plan.search.arms}
    return [
        *(point_at(arm, plan) for arm in plan.search.arms),
        *(_start(searched) for searched in plan.methods if searched.name not in given),
    ]


def grid_points(plan: StudyPlan) -> list[Values]:
    """Every point of the grid: of a search over methods those of each method, mixed."""
    rates = plan.search.grid_learning_rates
    if not plan.methods:
        return one.grid_points(plan.space, rates, plan.seed)
    points = [_point(each.name, values) for each in plan.methods for values in one.every_point(each.space, rates)]
    return one.shuffled(points, plan.seed)


def suggest(trial: optuna.Trial, plan: StudyPlan) -> None:
    """Draws a point of the plan's space, by calling the trial's `suggest_*` methods."""
    searched, prefix = plan.searched[0], ""
    if plan.methods:
        # in one order, however `search.space.method` is written: Optuna knows a parameter by its choices
        name = trial.suggest_categorical(METHOD, sorted(each.name for each in plan.methods))
        searched, prefix = _named(name, plan), f"{name}/"
    space = searched.space
    if space.ranks:
        lowest, highest, step = log2_ranks(space)
        trial.suggest_int(f"{prefix}{LOG2_RANK}", lowest, highest, step=step)
    for parameter, values in choices(space).items():
        trial.suggest_categorical(f"{prefix}{parameter}", list(values))
    trial.suggest_float(f"{prefix}{LEARNING_RATE}", *space.learning_rate, log=True)


def own_values(values: Values, method: str) -> Values:
    """The values of one method, under their names without a prefix."""
    prefix = f"{method}/"
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _named(method: str, plan: StudyPlan) -> SearchedMethod:
    return next(each for each in plan.methods if each.name == method)


def _point(method: str, values: Values) -> Values:
    return {METHOD: method, **{f"{method}/{name}": value for name, value in values.items()}}


def _start(searched: SearchedMethod) -> Values:
    """Where a method starts: its recipe, or the nearest point of its space."""
    arm, space = searched.arm, searched.space
    if space.ranks and arm.rank not in space.ranks:
        arm = replace(arm, rank=min(space.ranks, key=lambda rank: abs(rank - arm.rank)))
    return _point(searched.name, one.nearest_point(arm, space))
