"""How often the verdict on a cut ladder is wrong, on a small scale; benchmarks/verdict_calibration/cut.py is the large one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.verdict_calibration.cut import cut_rates
from benchmarks.verdict_calibration.cut_worlds import FIVE, ONE, CutWorld

STUDIES = 1500
ALLOWED = 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize("truth", [ONE, FIVE])
@pytest.mark.parametrize(("shape", "cv"), [("normal", 0.6), ("lognormal", 0.4), ("lognormal", 0.6), ("gamma", 0.6)])
def test_a_cut_at_the_margin_is_seldom_certified(shape: str, cv: float, truth: tuple[float, ...]) -> None:
    world = CutWorld("", "", truth, shape, cv, count=12, example_cv=0.1)
    for row in cut_rates(world, [(2,), (3,), (4,), (3, 4, 6)], STUDIES, np.random.default_rng(1)):
        assert row["false_certified"] <= ALLOWED, row["seeds"]


def test_a_cut_just_within_the_margin_is_seldom_called_inferior() -> None:
    world = CutWorld("", "", (0.9999, 0.3, 0.0), "normal", 0.3, count=12)
    for row in cut_rates(world, [(3,), (3, 4, 6)], STUDIES, np.random.default_rng(2)):
        assert row["false_inferior"] <= ALLOWED


def test_a_cut_that_is_no_better_is_seldom_called_better() -> None:
    world = CutWorld("", "", (0.0, 0.0, 0.0, 0.0), both=0.5, count=12)
    for row in cut_rates(world, [(2,), (3,), (3, 4, 6)], STUDIES, np.random.default_rng(3)):
        assert row["false_better"] <= ALLOWED


def test_clear_cases_are_decided_with_three_seeds() -> None:
    world = CutWorld("", "", (3.0, 0.3, 0.1, 0.03, 0.0), "lognormal", 0.25)
    (row,) = cut_rates(world, [(3,)], 300, np.random.default_rng(4))
    assert row["closed"] > 0.8
