"""Whether a mean is shown to be below zero, at levels of 1e-2 and far less, from 20 to some hundreds of independent units.

The level of a test falls with the number of tests made before it (`budget`). At such levels Student's test fails for skewed values: of 40
lognormal values whose mean is zero it rejects thirty times as often as declared at 1e-3, a hundred times at 1e-4 (docs/champion.md). What
it misses is the tail: the few units that are much worse are seldom in a sample of forty, and the spread is then too small with the mean.

The test here is the empirical likelihood ratio (Owen 1988, 2001), with one made-up unit added on the bad side, as in adjusted empirical
likelihood (Chen, Variyath and Abraham 2008), but far out: `BEYOND` times as far above the mean as the worst unit seen. For values z with
a mean of zero or more under the null hypothesis the statistic is

    W = max over 0 <= s < 1/b of  sum log(1 - s z) + log(1 - s b),      b the value of the made-up unit

which is also what the best constant bet against the null would have won, in nats, had the made-up unit come up as well (Waudby-Smith and
Ramdas 2024). It can bet little where a long tail is possible. 2 W is compared with the square of Student's quantile, whose long tail
stands for the small sample where the chi-square distribution is that of many units.

No bound holds for every distribution (Bahadur and Savage 1956): what happens in one of a thousand examples cannot be seen in a
hundred. `BEYOND` was chosen by simulation, and `python -m benchmarks.promotion` shows for which noise the level holds.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtr, stdtrit

from sweep.verdict.bounds import Array, Mask

BEYOND = 1.5
_HALVINGS = 30
_PRECISE = 40  # halvings of the interval in which a bound lies
_WIDEST = 60  # doublings of the first step in which a bound is looked for


def p_values(values: Array) -> Array:
    """The smallest level at which each mean is shown to be below zero; 1 where it is not even estimated to be.

    Args:
        values: (tests, units) or (units,), independent of each other, at least 2 units.

    Returns:
        (tests,), or of one test an array without axes.
    """
    p: Array = stdtr(values.shape[-1] - 1, -np.sqrt(2 * _evidence(*_scaled(values))))
    return np.where(p < 0.5, p, 1.0)  # no evidence at all


def rejected(values: Array, level: Array) -> Mask:
    """Whether each mean is shown to be below zero at its level: `p_values(values) <= level`, in a fraction of the time.

    Args:
        values: (tests, units).
        level: (tests,).
    """
    scaled, below = _scaled(values)
    needed = stdtrit(values.shape[-1] - 1, level) ** 2 / 2
    # the evidence is concave in the bet, zero without one, and no bet exceeds 1: its slope at zero is at least the evidence
    open_ = -scaled.sum(axis=-1) - 1 >= needed
    shown = np.zeros(len(values), bool)
    shown[open_] = _evidence(scaled[open_], below[open_]) >= needed[open_]
    return shown


def upper_bound(value: Array, size: Array, level: float) -> float:
    """The upper bound of the ratio of two means, one-sided: infinite where the units are too few for the level.

    Args:
        value: (units,), for example the difference of two adapters' losses in nats, summed over the examples of a group.
        size: (units,), positive, for example their tokens: the ratio is then in nats per token.
        level: the chance of error.
    """
    estimate = float(value.sum() / size.sum())
    step = float(np.abs(value - estimate * size).sum() / size.sum()) or max(abs(estimate), 1.0) * 1e-6
    high = estimate + step
    for _ in range(_WIDEST):
        if p_values(value - high * size) <= level:
            break
        step *= 2
        high = estimate + step
    else:
        return math.inf
    low = estimate
    for _ in range(_PRECISE):
        middle = (low + high) / 2
        low, high = (low, middle) if p_values(value - middle * size) <= level else (middle, high)
    return high


def _scaled(values: Array) -> tuple[Array, Mask]:
    """The values in units of the made-up one, and where their mean is below zero."""
    mean = values.mean(axis=-1)
    # at least as far above zero as the mean is below it, also where all units agree
    made_up = np.maximum(BEYOND * (values.max(axis=-1) - mean), -mean)
    below = mean < 0
    return values / np.where(below, made_up, 1.0)[..., None], below


def _evidence(scaled: Array, below: Mask) -> Array:
    """W of each row: the maximum of a concave function of the bet, by halving the interval by the sign of its slope."""
    low, high = np.zeros(scaled.shape[:-1]), np.ones(scaled.shape[:-1])
    for _ in range(_HALVINGS):
        bet = (low + high) / 2
        rises = (-scaled / (1 - bet[..., None] * scaled)).sum(axis=-1) > 1 / (1 - bet)
        low, high = np.where(rises & below, bet, low), np.where(rises & below, high, bet)
    won: Array = np.log1p(-low[..., None] * scaled).sum(axis=-1) + np.log1p(-low)
    return np.where(below, np.maximum(won, 0.0), 0.0)
