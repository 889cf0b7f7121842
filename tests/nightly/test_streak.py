"""Nights that fail for one and the same reason are counted as such, whatever numbers and names it bears."""

from __future__ import annotations

import pytest

from sweep.nightly.night import Night, Outcome
from sweep.nightly.streak import cause, streak
from tests.nightly.made_nights import made_night


def failed(day: int, reason: str, outcome: Outcome = Outcome.FAILED, code: int = 4) -> Night:
    return made_night(day, outcome, reason=reason, **({"exit_code": code} if outcome is Outcome.FAILED else {}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ended by signal 9, after 34 s", "ended by signal 9, after 1 h 4 min"),
        ("ended by signal 9, after 4 min", "ended by signal 9, after 3 min 12 s"),
        ("1.2 GB of memory are free, about 3 GB needed", "0.9 GB of memory are free, about 3 GB needed"),
        ("trials/ab/12ab34cd56ef is damaged", "trials/0f/a1b2c3d4e5f6 is damaged"),
        ("r32-lr1e+12-s0: failed: diverged", "ia3-r8-lr1.07e-03-s14: failed: diverged"),
        ("the rate 1e+12 is too large", "the rate 1.07e-4 is too large"),
        ("at 2026-03-01T02:00:11+00:00 it was away", "at 2026-03-02T02:01:12+00:00 it was away"),
        ("3 trials failed, 12 % of all", "14 trials failed, 5 % of all"),
    ],
)
def test_what_varies_is_left_out(one: str, other: str) -> None:
    assert cause(failed(1, one)) == cause(failed(2, other))


def test_what_differs_is_another_cause() -> None:
    assert cause(failed(1, "no trial is complete")) != cause(failed(2, "the data is gone"))
    assert cause(failed(1, "", code=3)) != cause(failed(2, "", code=4))
    assert cause(failed(1, "the adapter added cannot be read")) != cause(failed(1, "the adapter faced cannot be read"))


def test_a_streak_begins_with_the_first_night_of_its_reason() -> None:
    nights = [failed(1, "other"), failed(2, "same 1"), made_night(3, Outcome.MISSED), failed(4, "same 2")]
    found = streak(nights)
    assert found is not None
    assert found.words == "failed for the 2nd night in a row since 2026-03-02, for the same reason"
    assert streak(nights[:2]) is None
    assert streak(nights[:3]) is None
    assert streak([*nights, made_night(5)]) is None
    assert streak([]) is None
    skipped = [failed(day, f"{day} GB are free", Outcome.SKIPPED) for day in range(1, 13)]
    found = streak(skipped)
    assert found is not None
    assert found.words.startswith("skipped for the 12th night in a row since 2026-03-01")
