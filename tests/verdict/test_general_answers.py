"""The change in general questions answered right, and its interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import Measures
from sweep.verdict.general_answers import answers_change, change_between, mean_change
from tests.conftest import measures


def test_by_hand() -> None:
    before = [True] * 20 + [True] * 6 + [False] * 2 + [False] * 20
    after = [True] * 20 + [False] * 6 + [True] * 2 + [False] * 20
    change = answers_change(before, after)
    assert change is not None
    assert (change.questions, change.right, change.before, change.change) == (48, 22, 26, pytest.approx(-4 / 48))
    # half a question in each cell: 2.5 gained, 6.5 lost, of 50
    centre, error = -4 / 50, math.sqrt(9 - 16 / 50) / 50
    assert change.low == pytest.approx(centre - 1.959964 * error, abs=1e-6)
    assert change.high == pytest.approx(centre + 1.959964 * error, abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_interval_holds_the_change_and_turns_with_it(pairs: list[tuple[bool, bool]]) -> None:
    before, after = [one for one, _ in pairs], [other for _, other in pairs]
    change, back = answers_change(before, after), answers_change(after, before)
    assert change is not None
    assert back is not None
    assert -1 <= change.low <= change.high <= 1
    assert (back.low, back.high) == (pytest.approx(-change.high), pytest.approx(-change.low))


def test_it_holds_as_often_as_it_says() -> None:
    drawn, held, studies = np.random.default_rng(0), 0, 2000
    for _ in range(studies):
        before = drawn.random(48) < 0.6
        after = np.where(before, drawn.random(48) < 0.85, drawn.random(48) < 0.15)
        change = answers_change(list(before), list(after))
        assert change is not None
        held += change.low <= 0.4 * 0.15 - 0.6 * 0.15 <= change.high
    assert 0.93 < held / studies < 0.985


def test_other_questions_are_not_compared() -> None:
    assert answers_change([], []) is None
    assert answers_change([True], [True, False]) is None


def asked(*right: bool, of_kind: bool = True) -> Measures:
    return replace(measures(0.3), general_right=right, general_of_kind=of_kind)


def test_several_seeds() -> None:
    before = asked(*[True] * 6, *[False] * 2)
    after = [asked(*[True] * 4, *[False] * 4), before]
    each = [change_between(before, own) for own in after]
    mean = mean_change(before, after)
    assert mean is not None
    assert mean.change == pytest.approx(-1 / 8)
    assert mean.low == pytest.approx(sum(one.low for one in each if one) / 2)
    assert mean.low < mean.change < mean.high
    assert mean_change(before, [*after, asked()]) is None, "a trial of an earlier version was not asked"
    assert mean_change(before, []) is None


def test_what_was_right_in_another_way_is_not_compared() -> None:
    assert change_between(asked(True), asked(True)) is not None
    assert change_between(asked(True, of_kind=False), asked(True)) is None
