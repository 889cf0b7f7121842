"""Few trials are enough to bring every rank near its best learning rate."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.study.rates import NEAR, WIDENING, RateModel, RatePoint, at_edge, next_rates, tidy

LADDER = (2, 4, 8, 16, 32)
MEASURED = {
    2: {1e-3: 1.22, 2e-3: 0.48, 4e-3: 0.25, 8e-3: 0.15},
    8: {1e-3: 0.45, 2e-3: 0.23, 4e-3: 0.16, 8e-3: 0.16},
    32: {1e-3: 0.20, 2e-3: 0.15, 4e-3: 0.17, 8e-3: 0.35},
}
"""SmolLM2-135M on clinc_kitchen, 100 steps: loss by rank and rate."""


def model(points: list[RatePoint]) -> RateModel:
    return RateModel(points, 3e-3, 1e-3, 1e-2)


def test_measured_losses_give_falling_rates() -> None:
    fitted = model([RatePoint(rank, rate, loss) for rank, row in MEASURED.items() for rate, loss in row.items()])
    rates = [fitted.best(rank).rate for rank in LADDER]
    assert rates == sorted(rates, reverse=True)
    assert 4e-3 < fitted.best(8).rate < 8e-3
    assert 1.5e-3 < fitted.best(32).rate < 3e-3


def test_rates_fall_faster_where_the_scale_grows_with_rank() -> None:
    """Before any trial; trials move either law as they move the other."""
    plain, stabilized = model([]), RateModel([], 3e-3, 1e-3, 1e-2, growth=0.5)
    assert stabilized.best(8).rate == pytest.approx(plain.best(8).rate)
    fall = math.log2(stabilized.best(4).rate / stabilized.best(8).rate)
    assert fall - math.log2(plain.best(4).rate / plain.best(8).rate) == pytest.approx(0.375, abs=0.01)
    calm = [RatePoint(rank, 3e-3 * (8 / rank) ** 0.6, 0.2) for rank in (2, 8, 32)]
    high = [RatePoint(rank, 6e-3 * (8 / rank) ** 0.6, 0.3) for rank in (2, 8, 32)]
    low = [RatePoint(rank, 1.5e-3 * (8 / rank) ** 0.6, 0.3) for rank in (2, 8, 32)]
    taught = RateModel([*calm, *high, *low], 3e-3, 1e-3, 1e-2, growth=0.5)
    assert taught.best(32).rate == pytest.approx(3e-3 * 4**-0.6, rel=0.3)


def test_without_trials_rank_8_has_the_usual_rate() -> None:
    assert model([]).best(8).rate == pytest.approx(3e-3, rel=0.05)
    assert model([]).best(2).rate > model([]).best(32).rate


@pytest.mark.parametrize("seed", range(4))
def test_six_trials_beside_the_first_arms_are_enough(seed: int) -> None:
    chance = random.Random(seed)
    at_eight, slope, curvature = math.log2(5.3e-3), 0.65, 0.15

    def excess(rank: int, rate: float) -> float:
        return curvature * (math.log2(rate) - at_eight + slope * (math.log2(rank) - 3)) ** 2

    def point(rank: int, rate: float) -> RatePoint:
        return RatePoint(rank, rate, 0.15 * math.exp(excess(rank, rate) + chance.gauss(0, 0.1)))

    points = [point(rank, 3e-3) for rank in (8, 16, 32)]
    for _ in range(6):
        ((rank, rate),) = next_rates(points, LADDER, 3e-3, 1e-3, 1e-2, 1)
        points.append(point(rank, rate))
    assert all(excess(rank, model(points).best(rank).rate) < 0.1 for rank in LADDER)


def test_every_rank_is_tried_before_one_is_tried_again() -> None:
    assert sorted(rank for rank, _ in next_rates([], LADDER, 3e-3, 1e-3, 1e-2, 5)) == list(LADDER)


def test_divergence_lowers_the_rate() -> None:
    calm = [RatePoint(8, 3e-3, 0.2)]
    assert model([*calm, RatePoint(8, 4e-3, math.inf)]).best(8).rate < model(calm).best(8).rate


def test_a_best_rate_beyond_the_range_is_at_the_edge() -> None:
    rising = [RatePoint(8, rate, 5.0 / (rate * 1e3) ** 2) for rate in (5e-3, 1e-2, 2e-2, 4e-2)]
    fitted = model(rising)
    assert at_edge(fitted, fitted.best(2))
    inside = model([RatePoint(8, rate, math.exp(0.2 * math.log2(rate / 3e-3) ** 2)) for rate in (1e-3, 3e-3, 9e-3)])
    assert not at_edge(inside, inside.best(8))


POINTS = st.builds(
    RatePoint, st.sampled_from(LADDER), st.floats(1e-4, 4e-2), st.one_of(st.floats(0, 20), st.just(math.inf))
)


@settings(deadline=None)
@given(st.lists(POINTS, max_size=30), st.lists(POINTS, max_size=4), st.integers(1, 8))
def test_proposals_stay_in_range_are_tidy_and_near_none_that_was_tried(
    points: list[RatePoint], pruned: list[RatePoint], count: int
) -> None:
    tried = [(point.rank, point.rate) for point in pruned]
    proposals = next_rates(points, LADDER, 3e-3, 1e-3, 1e-2, count, tried=tried)
    assert len(proposals) <= count
    known = [*tried, *((point.rank, point.rate) for point in points)]
    for rank, rate in proposals:
        assert rank in LADDER
        assert 1e-3 / WIDENING * 0.95 <= rate <= 1e-2 * WIDENING * 1.05
        assert tidy(rate) == rate
        assert all(abs(math.log2(rate / other)) >= NEAR for at, other in known if at == rank)
        known.append((rank, rate))


def test_proposals_of_one_call_bracket_what_is_known() -> None:
    """They are trained side by side, so neither knows what the other will find."""
    known = [RatePoint(8, 3e-3, 0.35), RatePoint(16, 3e-3, 0.35), RatePoint(32, 3e-3, 0.33)]
    low, high = sorted(rate for _, rate in next_rates(known, [32], 3e-3, 1e-3, 1e-2, 2))
    assert low < 3e-3 / 2**NEAR
    assert high > 3e-3 * 2**NEAR


def test_nothing_is_proposed_if_nothing_is_left_to_try() -> None:
    whole = [RatePoint(8, 1e-3 / WIDENING * 1.3**step, 0.3) for step in range(20)]
    assert next_rates(whole, [8], 3e-3, 1e-3, 1e-2, 3) == []
    assert {rank for rank, _ in next_rates(whole, [8, 16], 3e-3, 1e-3, 1e-2, 3)} == {16}


def test_rates_above_one_that_diverged_come_last() -> None:
    points = [RatePoint(8, 3e-3, 0.2), RatePoint(8, 6e-3, math.inf)]
    assert all(rate < 6e-3 for _, rate in next_rates(points, [8], 3e-3, 1e-3, 1e-2, 3))
