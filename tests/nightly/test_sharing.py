"""How studies share a night."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.nightly.night import Night, Outcome
from sweep.nightly.sharing import Waiting, next_turn, turn_ends, used_lately

HOUR = 3600.0


def test_who_had_least_goes_first() -> None:
    waiting = [Waiting("a", 5 * HOUR), Waiting("b", 5 * HOUR), Waiting("c", 4 * HOUR)]
    assert next_turn(waiting, {"a": 10.0, "b": 5.0, "c": 20.0}).schedule == "b"
    assert next_turn(waiting, {}).schedule == "c"  # its night ends first


def test_time_that_is_not_used_passes_on() -> None:
    a, b = Waiting("a", 4 * HOUR), Waiting("b", 4 * HOUR)
    assert turn_ends(a, [a, b], 0.0) == 2 * HOUR
    assert turn_ends(b, [b], 1 * HOUR) == 4 * HOUR  # a ended after one hour


def test_a_night_that_ends_early_has_its_share() -> None:
    long, short = Waiting("long", 8 * HOUR), Waiting("short", 2 * HOUR)
    assert turn_ends(long, [long, short], 0.0) == HOUR
    assert turn_ends(short, [long, short], HOUR) == 1.5 * HOUR


def test_a_night_that_begins_has_its_share() -> None:
    a = Waiting("a", 6 * HOUR)
    assert turn_ends(a, [a], 0.0, starts=[2 * HOUR, 26 * HOUR]) == 2 * HOUR


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.5, 12), min_size=1, max_size=6), st.floats(0, 0.4))
def test_turns_fit_into_every_night(ends: list[float], now: float) -> None:
    """Whoever goes first, and however much of a turn is used, each study gets a turn before its night ends."""
    waiting = [Waiting(str(number), end) for number, end in enumerate(ends)]
    while waiting:
        first = next_turn(waiting, {})
        end = turn_ends(first, waiting, now)
        assert now < end <= first.until + 1e-9
        now = end
        waiting.remove(first)
        if waiting and min(each.until for each in waiting) <= now + 1e-9:
            raise AssertionError("a night ended before its study had a turn")


def test_only_the_last_week_counts() -> None:
    now = 100 * 86400.0

    def night(name: str, days: float, seconds: float) -> Night:
        return Night(name, name, "2026-01-01", now, now - days * 86400, Outcome.DONE, seconds=seconds)

    assert used_lately([night("a", 1, 5.0), night("a", 6, 7.0), night("a", 8, 9.0), night("b", 2, 1.0)], now) == {
        "a": 12.0,
        "b": 1.0,
    }
