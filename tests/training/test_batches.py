"""Which examples a training sees, in which order, and how much each weighs: general text among them takes its share."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import Training
from sweep.records.training import MOST_REPLAY
from sweep.training.batches import replay_places, row_weights, training_examples
from sweep.training.encoding import Encoded
from tasks import Example

SHARES = st.decimals(0, str(MOST_REPLAY), places=3).map(float)


def item(number: int, tokens: int = 3, *, replayed: bool = False) -> Encoded:
    return Encoded(Example("", str(number)), (1,), (number,) * tokens, replayed)


OWN = [item(number) for number in range(10)]
GENERAL = [item(100 + number, 40, replayed=True) for number in range(4)]


@given(share=SHARES, rows=st.integers(1, 400))
def test_general_text_is_spread_evenly(share: float, rows: int) -> None:
    places = replay_places(rows, share)
    for start in range(0, rows, 20):
        window = range(start, min(rows, start + 20))
        assert abs(len(places & set(window)) - share * len(window)) < 1
    assert len(places) == int(round(share * rows, 9))


def test_a_share_of_each_batch_is_replaced_and_the_rest_keeps_its_order() -> None:
    training = Training(steps=6, batch_size=4, replay=0.25)
    mixed = training_examples([*OWN, *GENERAL], training, seed=3)
    assert len(mixed) == 24
    batches = [mixed[start : start + 4] for start in range(0, 24, 4)]
    assert all([row.replayed for row in batch] == [False, False, False, True] for batch in batches)
    plain = training_examples(OWN, Training(steps=6, batch_size=4), seed=3)
    assert [row for row in mixed if not row.replayed] == plain[:18]
    shown = [row.completion[0] for row in mixed if row.replayed]
    assert set(shown[:4]) == {100, 101, 102, 103}, "each passage once before any is shown again"
    assert mixed == training_examples([*GENERAL, *OWN], training, seed=3)
    assert mixed != training_examples([*OWN, *GENERAL], training, seed=4)


def test_without_replay_nothing_changes() -> None:
    training = Training(steps=5, batch_size=4)
    assert training_examples([*OWN, *GENERAL], training, 1) == training_examples(OWN, training, 1)
    assert row_weights(OWN) is None
    assert row_weights(GENERAL) is None, "a step of general text alone is an ordinary mean"


@given(
    own=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    general=st.lists(st.integers(1, 99), min_size=1, max_size=4),
)
def test_each_kind_has_its_share_of_the_rows_in_the_loss(own: list[int], general: list[int]) -> None:
    step = [item(0, tokens) for tokens in own] + [item(1, tokens, replayed=True) for tokens in general]
    weights = row_weights(step)
    assert weights is not None
    share = len(general) / len(step)
    of_general = sum(len(row.completion) * weight for row, weight in zip(step, weights, strict=True) if row.replayed)
    assert of_general == pytest.approx(share)
    assert sum(len(row.completion) * weight for row, weight in zip(step, weights, strict=True)) == pytest.approx(1)
    assert len({weight for row, weight in zip(step, weights, strict=True) if not row.replayed}) == 1
    assert fmean(weights) > 0
