"""Ranks and numbers as a person reads them."""

from __future__ import annotations

import pytest

from sweep.verdict.figures import confidence, figure, named, nats, percent, points


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ((4,), "rank 4"),
        ((4, 8), "ranks 4 and 8"),
        ((2, 4, 8, 16, 32), "ranks 2 to 32"),
        ((4, 16, 64), "ranks 4 to 64"),
        ((2, 4, 16), "ranks 2, 4 and 16"),
    ],
)
def test_ranks_are_named(ranks: tuple[int, ...], text: str) -> None:
    assert named(ranks) == text


def test_numbers_have_as_many_digits_as_count() -> None:
    assert (percent(0.99), percent(0.005), confidence(0.05)) == ("99 %", "0.5 %", "95 %")
    assert (points(0.011), points(0.01), points(0.123)) == ("1.1 points", "1 point", "12 points")
    assert (nats(0.02714), figure(0.15)) == ("0.027 nats per token", "0.15")
