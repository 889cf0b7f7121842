"""Which trials nobody would drop: none is as good in both respects and better in one."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point whether it is on the Pareto front of two costs, both of which are better when lower.

    Of equal points all are on the front or none is. A cost that is not a number is never on it.
    """
    usable = [point for point in costs if point[0] == point[0] and point[1] == point[1]]
    return [point in usable and not any(_dominates(other, point) for other in usable) for point in costs]


def _dominates(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[0] and first[1] <= second[1] and first != second
