"""Noise of the difference of two adapters' losses on a unit: a group of certify examples that depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sweep.verdict.bounds import Array

Noise = Callable[[np.random.Generator, Array], Array]
"""From standard normal values to noise with a mean of zero."""


def _student(random: np.random.Generator, normal: Array) -> Array:
    return normal / np.sqrt(random.chisquare(3, normal.shape) / 3)


def lognormal(scale: float, sign: int = 1) -> Noise:
    """Lognormal noise, with its long tail on the side of harm, or of gains with the other sign."""

    def noise(_: np.random.Generator, normal: Array) -> Array:
        return sign * (np.exp(scale * normal) - np.exp(scale**2 / 2))

    return noise


def _difference(random: np.random.Generator, normal: Array) -> Array:
    second = random.standard_normal(normal.shape)
    return np.exp(normal) - np.exp(0.5) - (np.exp(second) - np.exp(0.5)) / 2


def _some_much_worse(random: np.random.Generator, normal: Array) -> Array:
    worse = random.random(normal.shape) < 0.1
    return 0.3 * normal + worse * random.standard_exponential(normal.shape) - 0.1


def _groups(random: np.random.Generator, normal: Array) -> Array:
    """Groups of one to many examples, with a part that their examples share; examples have lognormal numbers of tokens."""
    size = random.geometric(0.4, normal.shape)
    tokens = np.exp(0.5 * random.standard_normal(normal.shape))
    return tokens * (size * 0.7 * normal + np.sqrt(size) * random.standard_normal(normal.shape))


NOISES: Mapping[str, Noise] = {
    "normal": lambda _, normal: normal,
    "Student's t, 3 df": _student,
    "lognormal 0.6": lognormal(0.6),
    "lognormal 1": lognormal(1.0),
    "lognormal 1, long tail of gains": lognormal(1.0, -1),
    "difference of lognormals": _difference,
    "a tenth much worse": _some_much_worse,
    "groups": _groups,
}
