"""The Pareto front of two costs: what nobody would drop, whatever the order and whatever the units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.reports.tables import pareto_front

# few different values, so that ties are common
few = st.integers(-4, 4).map(float)
points = st.lists(st.tuples(few, few), min_size=1, max_size=12)


def front_of(costs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point, on_front in zip(costs, pareto_front(costs), strict=True) if on_front]


def is_better(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True)) and any(
        a < b for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    ("costs", "front"),
    [
        ([(1, 3), (2, 2), (3, 1), (3, 3), (2, 3)], [True, True, True, False, False]),
        ([(1, 1), (1, 1), (2, 1)], [True, True, False]),
        ([(math.nan, 0), (1, 1)], [False, True]),
        ([(math.inf, 0), (1, 1), (math.inf, 1)], [True, True, False]),
        ([], []),
    ],
)
def test_front(costs: list[tuple[float, float]], front: list[bool]) -> None:
    assert pareto_front(costs) == front


@given(points)
def test_front_is_never_empty(costs: list[tuple[float, float]]) -> None:
    assert front_of(costs)


@given(points)
def test_nothing_on_the_front_is_dominated_and_everything_else_is(costs: list[tuple[float, float]]) -> None:
    for point, on_front in zip(costs, pareto_front(costs), strict=True):
        assert on_front is not any(is_better(rival, point) for rival in costs)


@given(points)
def test_best_of_each_cost_is_on_the_front(costs: list[tuple[float, float]]) -> None:
    assert min(costs) in front_of(costs)
    assert min(costs, key=lambda point: (point[1], point[0])) in front_of(costs)


@given(st.data(), points)
def test_order_does_not_matter(data: st.DataObject, costs: list[tuple[float, float]]) -> None:
    assert sorted(front_of(data.draw(st.permutations(costs)))) == sorted(front_of(costs))


@given(points, st.sampled_from([0.25, 8.0]), st.sampled_from([-16.0, 64.0]))
def test_units_do_not_matter(costs: list[tuple[float, float]], factor: float, shift: float) -> None:
    rescaled = [(first * factor + shift, math.exp(second)) for first, second in costs]
    assert pareto_front(rescaled) == pareto_front(costs)


@given(points)
def test_costs_are_treated_alike(costs: list[tuple[float, float]]) -> None:
    assert pareto_front([(second, first) for first, second in costs]) == pareto_front(costs)


@given(points)
def test_front_of_the_front_is_all_of_it(costs: list[tuple[float, float]]) -> None:
    assert front_of(front_of(costs)) == front_of(costs)
