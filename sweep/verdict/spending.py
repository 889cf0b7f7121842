"""Error probability shared among looks: seeds may be added after a look at the data, any number of times.

Once S seeds have been looked at, alpha * (1 - 1.5 / S) is spent: a quarter of alpha after two seeds, half after three, 70 %
after five, never all of it, so that any later look has something left (error spending: Lan and DeMets 1983). What a look may
use depends on how much its data overlap with those of earlier looks. Its level is found from the joint normal distribution
of the estimates (Armitage, McPherson and Rowe 1969) and used as the level of Student tests, the significance level approach
(Pocock 1977; Jennison and Turnbull 2000, ch. 3.8 and 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from sweep.verdict.bounds import Array

FIRST = 1.5
GRID = 801
REACH = 8.0  # standard deviations


def spent(alpha: float, seeds: int) -> float:
    """Error probability spent after a look at a number of seeds; zero below two seeds."""
    return alpha * (1 - FIRST / seeds) if seeds >= 2 else 0.0


def levels(alpha: float, looks: Sequence[int]) -> tuple[float, ...]:
    """The one-sided level of each look.

    Each is chosen so that a mean whose true value lies at the margin crosses its bound at this look, and at none before,
    with the probability that was spent since the look before.

    Args:
        looks: numbers of seeds, ascending, the first at least 2.
    """
    plan = tuple(int(look) for look in looks)
    return tuple(_level(float(alpha), plan[: taken + 1]) for taken in range(len(plan)))


def left(alpha: float, seeds: int) -> float:
    """The error probability that is left after a look at a number of seeds.

    Looks after examples were added start again with it, as an alpha of their own: their data overlap with those of earlier
    looks by an amount that the joint distribution above does not describe, and the two add up to no more than alpha
    whatever it is (Bonferroni).
    """
    return alpha - spent(alpha, seeds)


@lru_cache(maxsize=4096)
def _level(alpha: float, looks: tuple[int, ...]) -> float:
    """The level of the last of these looks."""
    return float(ndtr(-_bound(alpha, looks) / np.sqrt(looks[-1])))


def _bound(alpha: float, looks: tuple[int, ...]) -> float:
    """What the sum of standard normal seeds must exceed at the last of these looks."""
    seeds = looks[-1]
    if len(looks) == 1:
        return -float(ndtri(spent(alpha, seeds)) * np.sqrt(seeds))
    grid, mass = _undecided(alpha, looks[:-1])
    before = looks[-2]
    return _crossed_with(
        spent(alpha, seeds) - spent(alpha, before), grid, mass, np.sqrt(seeds - before), REACH * np.sqrt(seeds)
    )


@lru_cache(maxsize=64)
def _undecided(alpha: float, looks: tuple[int, ...]) -> tuple[Array, Array]:
    """Density of the sum of seeds among studies that crossed no bound so far: grid, and mass at its points."""
    seeds = looks[-1]
    grid = np.linspace(-REACH * np.sqrt(seeds), _bound(alpha, looks), GRID)
    if len(looks) == 1:
        density = np.exp(-(grid**2) / (2 * seeds)) / np.sqrt(2 * np.pi * seeds)
    else:
        earlier, mass = _undecided(alpha, looks[:-1])
        added = seeds - looks[-2]
        density = np.exp(-((grid[:, None] - earlier) ** 2) / (2 * added)) @ mass / np.sqrt(2 * np.pi * added)
    return grid, _trapezoid(grid) * density


def _crossed_with(probability: float, grid: Array, mass: Array, added: float, reach: float) -> float:
    """The bound that the sum exceeds with this probability after one more step, by bisection."""
    low, high = 0.0, reach
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mass @ ndtr((grid - middle) / added) > probability else (low, middle)
    return (low + high) / 2


def _trapezoid(grid: Array) -> Array:
    weights = np.full(len(grid), grid[1] - grid[0])
    weights[[0, -1]] /= 2
    return weights
