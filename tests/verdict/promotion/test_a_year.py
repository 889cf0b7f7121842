"""A year of nights on a small scale; `python -m benchmarks.promotion` is the large one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.promotion import nights
from benchmarks.promotion.noises import NOISES

YEARS = 400


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_no_year_has_more_wrong_promotions_than_promised(noise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(11)
    wrong, _ = nights.years(NOISES[noise], YEARS, draw, units=40)
    allowed = nights.ALPHA + 2.5 * np.sqrt(nights.ALPHA / YEARS)
    assert wrong.mean() <= allowed
    # each night at a level of its own, as if the others did not count: the check above can fail
    monkeypatch.setattr(nights, "level_of", lambda alpha, test, promotions: alpha)
    wrong, _ = nights.years(NOISES[noise], YEARS, draw, units=40, nights=60)
    assert wrong.mean() > allowed


@pytest.mark.slow
def test_truly_better_challengers_are_promoted_and_cost_the_promise_nothing() -> None:
    draw = np.random.default_rng(12)
    wrong, right = nights.years(NOISES["normal"], YEARS, draw, units=100, nights=60, better_every=12)
    assert wrong.mean() <= nights.ALPHA + 2.5 * np.sqrt(nights.ALPHA / YEARS)
    assert right.mean() > 1.5
