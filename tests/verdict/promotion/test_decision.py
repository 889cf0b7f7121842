"""Promotion takes both: not inferior on the old examples, better on the new ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.verdict.promotion import (
    Answer,
    Condition,
    GainLosses,
    PairedLosses,
    check_condition,
    judge_challenger,
)

MARGIN, LEVEL = 0.05, 0.01


def paired(difference: float, draw: int = 0, examples: int = 200, spread: float = 0.1, **also: object) -> PairedLosses:
    """Losses that differ by the given nats per token, on average over examples of five to thirty tokens."""
    random = np.random.default_rng(draw)
    tokens = random.integers(5, 30, examples).astype(float)
    second = random.gamma(2, 1, examples) * tokens
    return PairedLosses.of(
        second + tokens * (difference + spread * random.standard_normal(examples)),
        second,
        tokens,
        **also,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("on_old", "on_new", "answer"),
    [
        (0.0, -0.1, Answer.PROMOTE),
        (-0.1, -0.1, Answer.PROMOTE),
        (0.02, -0.1, Answer.PROMOTE),
        (0.06, -0.5, Answer.KEEP),
        (0.0, 0.0, Answer.KEEP),
        (-0.5, 0.01, Answer.KEEP),
    ],
)
def test_promotion_takes_both_sides(on_old: float, on_new: float, answer: Answer) -> None:
    test = judge_challenger(paired(on_old, 1), paired(on_new, 2), MARGIN, LEVEL)
    assert test.answer is answer
    for side in (test.old, test.new):
        assert (side.upper < side.limit) == (side.p_value <= LEVEL)
        assert side.difference < side.upper


@given(st.integers(0, 2**31), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
@settings(max_examples=6, deadline=None)
def test_a_smaller_level_or_margin_never_promotes_more(draw: int, on_old: float, on_new: float) -> None:
    old, new = paired(on_old, draw, 60), paired(on_new, draw + 1, 60)
    if judge_challenger(old, new, MARGIN, LEVEL / 10).answer is Answer.PROMOTE:
        assert judge_challenger(old, new, MARGIN, LEVEL).answer is Answer.PROMOTE
    if judge_challenger(old, new, MARGIN / 2, LEVEL).answer is Answer.PROMOTE:
        assert judge_challenger(old, new, MARGIN, LEVEL).answer is Answer.PROMOTE


def test_too_few_examples_make_no_test() -> None:
    test = judge_challenger(paired(0, 1, 200), paired(-1, 2, 19), MARGIN, LEVEL)
    assert test.answer is Answer.TOO_FEW
    assert "19 new" in test.reason
    assert math.isinf(test.new.upper)
    nothing = judge_challenger(PairedLosses.of([], [], []), paired(0), MARGIN, LEVEL)
    assert nothing.answer is Answer.TOO_FEW


def test_examples_of_a_group_are_one_unit() -> None:
    tokens = np.array([2.0, 3.0, 4.0, 5.0])
    losses = PairedLosses.of([1, 2, 3, 4], [0, 0, 0, 0], tokens, groups=["a", "a", None, None])
    assert losses.units == 3
    assert losses.examples == 4
    assert sorted(losses.difference) == [3, 3, 4]
    assert losses.mean == pytest.approx(10 / 14)
    repeated = PairedLosses.of(*np.repeat([[1.0], [0.0], [2.0]], 8, axis=1), groups=["a"] * 8)
    assert repeated.units == 1


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match="NaN") as caught:
        PairedLosses.of([math.nan, 1.0], [1.0], [0.0, 1.0], called="old")
    assert str(caught.value).count("old:") == 3
    with pytest.raises(ValueError, match="margin"):
        judge_challenger(paired(0), paired(0), 0.0, LEVEL)
    with pytest.raises(ValueError, match="level"):
        judge_challenger(paired(0), paired(0), MARGIN, 0.0)


def gains(before: float, after: float, units: int = 400) -> GainLosses:
    return GainLosses(paired(-before, 3, units), paired(-after, 4, units))


@pytest.mark.parametrize(
    ("after", "condition"),
    [(2.0, Condition.GOOD), (3.0, Condition.GOOD), (1.0, Condition.WORSE), (1.8, Condition.UNCLEAR)],
)
def test_the_condition_is_by_the_share_of_the_gain_that_is_kept(after: float, condition: Condition) -> None:
    check = check_condition(gains(2.0, after), margin=0.1, alpha=0.05)
    assert check.condition is condition
    assert check.retained == pytest.approx(after / 2, abs=0.02)
    assert check.lower < check.upper


def test_a_champion_that_gained_nothing_or_has_few_examples_is_unclear() -> None:
    assert check_condition(gains(-0.5, 1.0), 0.1, 0.05).condition is Condition.UNCLEAR
    few = check_condition(gains(2.0, 2.0, units=7), 0.1, 0.05)
    assert few.condition is Condition.UNCLEAR
    assert math.isinf(few.upper)


def test_the_condition_is_seldom_wrong_at_the_margin() -> None:
    random = np.random.default_rng(8)
    states = []
    for _ in range(600):
        losses = [
            PairedLosses.of(np.exp(random.standard_normal(50)) - np.exp(0.5) - gain, np.zeros(50), np.ones(50))
            for gain in (2.0, 1.8)
        ]
        states.append(check_condition(GainLosses(*losses), margin=0.1, alpha=0.05).condition)
    allowed = 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / len(states))
    assert states.count(Condition.GOOD) / len(states) <= allowed
    assert states.count(Condition.WORSE) / len(states) <= allowed
