"""Points of the search space are arms; the first ones are common defaults, and a grid has all points."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sweep.commands.app import composed_plan
from sweep.records import Arm, SearchSpace
from sweep.search.space import (
    ALPHA_RATIO,
    DROPOUT,
    LEARNING_RATE,
    LOG2_RANK,
    TARGETS,
    Values,
    arm_of,
    first_points,
    grid_points,
    largest_arms,
    log2_ranks,
)

PLAN = composed_plan([])
TARGET_SETS = ("q_proj,v_proj", "o_proj", "down_proj,up_proj")


def distinct(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def rank_ladders(draw: st.DrawFn) -> tuple[int, ...]:
    lowest, step, count = draw(st.integers(0, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    return tuple(2 ** (lowest + step * index) for index in range(count))


@st.composite
def rate_ranges(draw: st.DrawFn) -> tuple[float, float]:
    low = draw(st.floats(1e-6, 1e-1))
    return low, draw(st.floats(low, 1.0))


spaces = st.builds(
    SearchSpace,
    ranks=rank_ladders(),
    alpha_ratios=distinct(st.floats(0.25, 8)),
    dropouts=distinct(st.floats(0, 0.9)),
    targets=st.lists(st.sampled_from(TARGET_SETS), min_size=1, unique=True).map(tuple),
    learning_rate=rate_ranges(),
)
arms = st.builds(
    Arm,
    rank=st.sampled_from([1, 2, 8, 16, 128]),
    alpha_ratio=st.floats(0.1, 16),
    dropout=st.floats(0, 0.9),
    targets=st.sampled_from([tuple(entry.split(",")) for entry in (*TARGET_SETS, "k_proj")]),
    learning_rate=st.floats(1e-7, 1.0),
)


def is_inside(values: Values, space: SearchSpace) -> bool:
    low, high = space.learning_rate
    return (
        2 ** int(values[LOG2_RANK]) in space.ranks
        and values[ALPHA_RATIO] in space.alpha_ratios
        and values[DROPOUT] in space.dropouts
        and values[TARGETS] in space.targets
        and low <= float(values[LEARNING_RATE]) <= high
    )


def test_common_defaults_come_first() -> None:
    firsts = [arm_of(values, PLAN.arm) for values in first_points(PLAN)]
    assert [(arm.rank, arm.alpha, arm.targets) for arm in firsts] == [
        (8, 16.0, ("q_proj", "v_proj")),
        (16, 32.0, ("q_proj", "v_proj")),
        (32, 64.0, ("q_proj", "v_proj")),
    ]
    assert {(arm.dropout, arm.learning_rate, arm.method) for arm in firsts} == {(0.0, PLAN.arm.learning_rate, "lora")}


def test_the_plan_s_recipe_comes_first_if_the_space_has_it() -> None:
    plan = composed_plan(
        [
            "lora.alpha_ratio=4",
            "lora.dropout=0.1",
            "lora.targets=attention",
            "train.learning_rate=1e-3",
            "method=rslora_plus",
            "method.loraplus_lr_ratio=8",
        ]
    )
    for values in first_points(plan):
        arm = arm_of(values, plan.arm)
        assert replace(arm, rank=plan.arm.rank) == plan.arm


@given(spaces, arms)
def test_first_points_are_inside_any_space_and_differ_only_in_rank(space: SearchSpace, arm: Arm) -> None:
    points = first_points(replace(PLAN, space=space, arm=arm))
    assert all(is_inside(values, space) for values in points)
    ranks = [values[LOG2_RANK] for values in points]
    assert 1 <= len(points) == len(set(ranks)) <= 3
    assert len({tuple((key, value) for key, value in values.items() if key != LOG2_RANK) for values in points}) == 1


@given(spaces)
def test_log2_ranks_give_the_ranks(space: SearchSpace) -> None:
    lowest, highest, step = log2_ranks(space)
    assert tuple(2**exponent for exponent in range(lowest, highest + 1, step)) == space.ranks


@given(spaces, arms)
def test_arm_of_a_point(space: SearchSpace, arm: Arm) -> None:
    values: Values = {
        LOG2_RANK: int(math.log2(arm.rank)),
        ALPHA_RATIO: arm.alpha_ratio,
        DROPOUT: arm.dropout,
        TARGETS: ",".join(arm.targets),
        LEARNING_RATE: arm.learning_rate,
    }
    assert arm_of(values, replace(PLAN.arm, method=arm.method, loraplus_lr_ratio=arm.loraplus_lr_ratio)) == arm


@given(spaces, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_grid_has_every_combination_once(space: SearchSpace, rates: int, seed: int) -> None:
    points = grid_points(space, rates, seed)
    assert all(is_inside(values, space) for values in points)
    parts = {(values[LOG2_RANK], values[ALPHA_RATIO], values[DROPOUT], values[TARGETS]) for values in points}
    exponents = [int(math.log2(rank)) for rank in space.ranks]
    assert parts == set(itertools.product(exponents, space.alpha_ratios, space.dropouts, space.targets))
    low, high = space.learning_rate
    assert len(points) == len(parts) * (rates if high > low else 1)


@given(spaces, st.integers(2, 5))
def test_rates_of_a_grid_reach_both_ends_in_equal_ratios(space: SearchSpace, rates: int) -> None:
    low, high = space.learning_rate
    tried = sorted({float(values[LEARNING_RATE]) for values in grid_points(space, rates, 0)})
    assert math.isclose(tried[0], low) or low == high
    assert math.isclose(tried[-1], high) or low == high
    ratio = (high / low) ** (1 / (rates - 1))
    assert all(math.isclose(later / earlier, ratio) for earlier, later in itertools.pairwise(tried))


@given(spaces, st.integers(1, 3), st.integers(0, 9))
def test_grid_has_one_order_for_each_seed(space: SearchSpace, rates: int, seed: int) -> None:
    assert grid_points(space, rates, seed) == grid_points(space, rates, seed)


def test_another_seed_gives_another_order_of_the_same_grid() -> None:
    first, second = grid_points(PLAN.space, 3, 0), grid_points(PLAN.space, 3, 1)
    assert first != second
    assert sorted(map(repr, first)) == sorted(map(repr, second))


def test_search_arms_replace_the_defaults() -> None:
    plan = composed_plan(
        [
            "search.arms=[{r: 2, alpha_ratio: 4, dropout: 0.05, targets: attention, learning_rate: 2e-3}, {r: 32}]",
            "lora.dropout=0.1",
        ]
    )
    attention = ("k_proj", "o_proj", "q_proj", "v_proj")
    assert plan.search.arms == (
        Arm(2, 4.0, 0.05, attention, 2e-3),
        replace(plan.arm, rank=32),  # the plan's recipe has the rest
    )
    points = first_points(plan)
    assert [arm_of(values, plan.arm) for values in points] == list(plan.search.arms)
    assert all(is_inside(values, plan.space) for values in points)


def test_the_largest_arm_covers_all_others() -> None:
    (largest,) = largest_arms(PLAN)
    assert largest.rank == max(PLAN.arm.rank, *PLAN.space.ranks, *PLAN.declaration.ladder)
    assert all(set(entry.split(",")) <= set(largest.targets) for entry in PLAN.space.targets)
    assert set(PLAN.arm.targets) <= set(largest.targets)
    assert largest.dropout == max(PLAN.arm.dropout, *PLAN.space.dropouts)


def test_the_largest_arm_has_most_virtual_tokens() -> None:
    arm = replace(PLAN.arm, method="prompt_tuning", own=(("tokens", 4), ("init", "vocabulary")))
    space = replace(PLAN.space, own=(("tokens", (2, 32, 8)), ("init", ("random", "vocabulary"))))
    (largest,) = largest_arms(replace(PLAN, arm=arm, space=space))
    assert dict(largest.own) == {"tokens": 32, "init": "vocabulary"}
