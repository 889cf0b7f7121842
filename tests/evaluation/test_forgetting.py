"""The rise of the loss on general prose, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import TrialDiverged
from sweep.evaluation.forgetting import forgetting_of
from sweep.records import ExampleOutcome


def outcomes(*nats: float, tokens: tuple[int, ...]) -> list[ExampleOutcome]:
    return [ExampleOutcome(value, count) for value, count in zip(nats, tokens, strict=True)]


def test_by_hand() -> None:
    tokens = (10, 30)
    found = forgetting_of(outcomes(20.0, 60.0, tokens=tokens), outcomes(21.0, 69.0, tokens=tokens))
    assert found is not None
    assert found.loss == pytest.approx(90 / 40)
    assert found.rise == pytest.approx(10 / 40)
    assert found.rises == ((1.0, 10), (9.0, 30))
    # what is left of the rises 1 and 9 after 0.25 a token: -1.5 and 1.5; Student with one degree of freedom
    width = math.tan(math.pi * 0.475) * math.sqrt(2 * 2 * 1.5**2) / 40
    assert (found.low, found.high) == (pytest.approx(0.25 - width), pytest.approx(0.25 + width))


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 200)), min_size=2, max_size=12), st.floats(-1, 1))
def test_a_rise_that_is_the_same_everywhere_is_certain(paragraphs: list[tuple[float, int]], rise: float) -> None:
    before = [ExampleOutcome(nats, tokens) for nats, tokens in paragraphs]
    after = [ExampleOutcome(nats + rise * tokens, tokens) for nats, tokens in paragraphs]
    found = forgetting_of(before, after)
    assert found is not None
    assert (found.rise, found.low, found.high) == (pytest.approx(rise, abs=1e-9),) * 3


def test_the_interval_holds_as_often_as_it_says() -> None:
    drawn, held, studies = np.random.default_rng(0), 0, 2000
    for _ in range(studies):
        tokens = drawn.integers(80, 140, size=8)
        rises = tokens * (0.05 + 0.03 * drawn.standard_normal(8))
        before = [ExampleOutcome(300.0, int(count)) for count in tokens]
        after = [ExampleOutcome(300.0 + rise, int(count)) for rise, count in zip(rises, tokens, strict=True)]
        found = forgetting_of(before, after)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.05 <= found.high
    assert 0.93 < held / studies < 0.97


def test_one_paragraph_has_no_interval_and_none_has_no_rise() -> None:
    found = forgetting_of([ExampleOutcome(1.0, 1)], [ExampleOutcome(2.0, 1)])
    assert found is not None
    assert (found.rise, found.low, found.high) == (1.0, None, None)
    assert forgetting_of([], []) is None


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(TrialDiverged):
        forgetting_of([ExampleOutcome(1.0, 1)], [ExampleOutcome(math.nan, 1)])
