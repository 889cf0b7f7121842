"""Confidence bounds of contrasts: quantiles, the two variance components, and long tails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from sweep.verdict.bounds import PAIRED, TAIL, UNPAIRED, Estimates, Side


def estimated(**changes: float) -> Estimates:
    """One contrast: 5 seeds, 100 examples, no variance but for what is given."""
    parts = {"value": 0.0, "paired": 0.0, "unpaired": 0.0, "components": 1.0, "examples": 0.0, "skew": 0.0, **changes}
    return Estimates(**{name: np.array([[part]]) for name, part in parts.items()}, seeds=5, example_df=99)


def width(of: Estimates, side: Side = Side.UPPER, level: float = 0.05, seeds: float | None = None) -> float:
    return float(of.half_width(side, level, seeds)[0, 0])


def test_the_tighter_of_paired_and_unpaired() -> None:
    apart = width(estimated(paired=2.0, unpaired=2.0, components=2.0))
    assert apart == pytest.approx(t.isf(UNPAIRED * 0.05, 8) * np.sqrt(2 / 5))
    together = width(estimated(paired=0.1, unpaired=2.0, components=2.0))
    assert together == pytest.approx(t.isf(PAIRED * 0.05, 4) * np.sqrt(0.1 / 5))


def test_seeds_and_examples_each_have_their_quantile() -> None:
    both = width(estimated(paired=2.0, unpaired=2.0, examples=0.3))
    seeds, examples = t.isf(UNPAIRED * 0.05, 4) ** 2 * 2 / 5, t.isf(UNPAIRED * 0.05, 99) ** 2 * 0.3
    assert both == pytest.approx(np.sqrt(seeds + examples))


def test_more_seeds_leave_the_part_of_the_examples() -> None:
    of = estimated(paired=2.0, unpaired=2.0, examples=0.3)
    widths = [width(of, seeds=seeds) for seeds in (5, 10, 100, 1e9)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(t.isf(UNPAIRED * 0.05, 99) * np.sqrt(0.3), rel=1e-4)


def test_a_long_tail_widens_its_own_side_only() -> None:
    plain, skewed = estimated(examples=0.25), estimated(examples=0.25, skew=0.01)
    longer = TAIL * 0.01 / (6 * 0.25) * (1 + 2 * t.isf(UNPAIRED * 0.05, 99) ** 2)
    assert width(skewed, Side.UPPER) == pytest.approx(width(plain) + longer)
    assert width(skewed, Side.LOWER) == width(plain, Side.LOWER) == width(plain)


def test_no_variance_is_no_width() -> None:
    assert width(estimated()) == 0


def test_a_variance_near_zero_does_not_blow_up_the_correction_for_skewness() -> None:
    tiny = estimated(paired=1e-32, unpaired=1e-32, examples=1e-32, skew=1e-6)
    plain = estimated(paired=1e-32, unpaired=1e-32, examples=1e-32)
    assert width(tiny) <= 2 * width(plain)
