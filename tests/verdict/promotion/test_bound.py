"""The test of a mean and its bound: what must not change it, and how often it is wrong, on a small scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from sweep.verdict.promotion.bound import p_values, rejected, upper_bound

numbers = st.integers(0, 2**31)


def sample(draw: int, units: int = 30, mean: float = -0.6) -> np.ndarray:
    return np.random.default_rng(draw).standard_normal(units) + mean


@given(numbers, st.floats(1e-6, 1e6))
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_unit_matters(draw: int, scale: float) -> None:
    values = sample(draw)
    p = p_values(values)
    assert p_values(scale * values[::-1]) == pytest.approx(p, rel=1e-6)


@given(numbers, st.floats(0.01, 1.0))
@settings(max_examples=30, deadline=None)
def test_values_that_are_all_lower_are_stronger_evidence(draw: int, lower: float) -> None:
    values = sample(draw)
    assert p_values(values - lower) <= p_values(values)


@given(numbers, st.sampled_from([0.05, 1e-2, 1e-3]))
@settings(max_examples=8, deadline=None)
def test_the_bound_is_where_the_test_begins_to_reject(draw: int, level: float) -> None:
    random = np.random.default_rng(draw)
    size = random.uniform(1, 20, 40)
    value = random.standard_normal(40) * size
    bound = upper_bound(value, size, level)
    assert bound > value.sum() / size.sum()
    assert p_values(value - (bound + 1e-6) * size) <= level
    assert p_values(value - (bound - 1e-6) * size) > level


@given(numbers)
@settings(max_examples=20, deadline=None)
def test_the_fast_answer_is_that_of_the_p_value(draw: int) -> None:
    values = np.stack([sample(draw + place, 25, mean=-place / 20) for place in range(20)])
    level = np.full(20, 0.01)
    assert (rejected(values, level) == (p_values(values) <= level)).all()


def test_of_many_units_it_is_students_test() -> None:
    random = np.random.default_rng(3)
    for mean in (-0.02, -0.04):
        values = random.standard_normal(20_000) + mean
        student = ttest_1samp(values, 0, alternative="less").pvalue
        assert math.log(p_values(values)) == pytest.approx(math.log(student), rel=0.15)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_values_that_are_not_below_zero_show_nothing(value: float) -> None:
    assert p_values(np.full(50, value)) == 1


def test_few_units_cannot_show_anything_at_a_tiny_level() -> None:
    assert p_values(np.full(20, -1.0)) > 1e-6
    assert upper_bound(np.full(20, -1.0), np.ones(20), 1e-9) == math.inf


@pytest.mark.parametrize("level", [0.01, 0.001])
def test_a_long_tail_of_harm_is_no_reason_to_reject(level: float) -> None:
    draws = 20_000
    random = np.random.default_rng(5)
    values = np.exp(random.standard_normal((draws, 40))) - np.exp(0.5)
    allowed = level + 3 * np.sqrt(level / draws)
    assert rejected(values, np.full(draws, level)).mean() <= allowed
    # the same data can break a test: Student's rejects far too often
    assert (ttest_1samp(values, 0, axis=1, alternative="less").pvalue <= level).mean() > 4 * level
