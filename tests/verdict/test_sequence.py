"""The margin as contrasts, and what ranks are held against."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.verdict import judge
from sweep.verdict.margin import Margin
from sweep.verdict.record import MarginOf
from sweep.verdict.sequence import against_each, against_larger_half
from tests.verdict.studies import BASE, base_of, losses_of


@pytest.mark.parametrize(
    ("of", "size", "expected"),
    [
        # rank means 1 and 3, base 5
        (MarginOf.GAIN, 0.25, [[1 - 0.75 * 1 - 0.25 * 5, 3 - 0.75 * 1 - 0.25 * 5], [1 - 0.75 * 3 - 1.25, 3 - 0.75 * 3 - 1.25]]),
        (MarginOf.LOSS, 0.5, [[1 - 1.5, 3 - 1.5], [1 - 4.5, 3 - 4.5]]),
        (MarginOf.METRIC, 0.5, [[-0.5, 1.5], [-2.5, -0.5]]),
    ],
)  # fmt: skip
def test_contrast_of_each_rank_with_each(of: MarginOf, size: float, expected: list[list[float]]) -> None:
    coefficients, constant = Margin(size, of).contrasts(against_each(2))
    values = coefficients @ np.array([1.0, 3.0, 5.0]) + constant
    assert values == pytest.approx(np.array(expected))


def test_larger_half() -> None:
    active = np.array([[True, True, True, True, True, False]])
    reference = against_larger_half(active)[0]
    assert reference[0].tolist() == [0, 0, 0, 0.5, 0.5, 0]
    assert reference[1].tolist() == [0, 0, 0, 0.5, 0.5, 0]
    assert reference[2].tolist() == [0, 0, 0, 0, 1, 0]
    assert reference[4].tolist() == [0, 0, 0, 0, 1, 0]  # nothing is larger: itself
    assert reference.sum(axis=1) == pytest.approx(1)


def test_two_neighbours_that_are_too_small_do_not_hide_each_other() -> None:
    verdict = judge(losses_of((0.4, 0.39, 0.2, 0.2)), (2, 4, 8, 16), margin=0.02, base=base_of())
    assert verdict.margin_in_loss == pytest.approx(0.02 * (BASE - 0.2), rel=0.1)
    assert verdict.state[:2] == ("inferior", "inferior")
