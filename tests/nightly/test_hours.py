"""The hours of a night, also where clocks change."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.errors import ConfigurationError
from sweep.nightly.hours import Hours, hours_from
from tests.nightly.made import BERLIN, moment

ZONES = (BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo", "Pacific/Apia", "UTC")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
HOUR = 3600.0


def test_a_night_is_in_the_zone_and_may_cross_midnight() -> None:
    plain, across = hours_from("02:00", "06:30", BERLIN), hours_from("23:00", "06:00", BERLIN)
    assert plain.start(date(2026, 11, 28)) == moment("2026-11-28 01:00", "UTC")
    assert plain.end(date(2026, 11, 28)) == moment("2026-11-28 05:30", "UTC")
    assert (across.start(date(2026, 11, 28)), across.end(date(2026, 11, 28))) == (
        moment("2026-11-28 23:00"),
        moment("2026-11-29 06:00"),
    )
    assert across.length == 7 * HOUR


def test_a_start_that_does_not_exist_is_when_the_clocks_have_changed() -> None:
    hours = hours_from("02:30", "06:30", BERLIN)
    assert hours.start(SPRING) == moment("2026-03-29 01:00", "UTC")
    assert hours.show(hours.start(SPRING)) == "Sun 2026-03-29 03:00 CEST"
    assert hours.end(SPRING) == moment("2026-03-29 04:30", "UTC")
    # a whole night of times that do not exist keeps its length
    skipped = hours_from("02:30", "03:00", BERLIN)
    assert skipped.end(SPRING) - skipped.start(SPRING) == HOUR / 2


def test_a_time_that_exists_twice_is_the_first_one() -> None:
    hours = hours_from("02:30", "06:30", BERLIN)
    assert hours.start(AUTUMN) == moment("2026-10-25 00:30", "UTC")
    assert hours.end(AUTUMN) - hours.start(AUTUMN) == 5 * HOUR
    assert hours_from("01:00", "02:30", BERLIN).end(AUTUMN) == moment("2026-10-25 00:30", "UTC")


def test_schedulers_look_again_where_a_start_may_not_exist() -> None:
    now = moment("2026-11-28 12:00")
    assert hours_from("02:30", "06:30", BERLIN).triggers(now) == (time(2, 30), time(3, 30))
    assert hours_from("04:30", "06:30", BERLIN).triggers(now) == (time(4, 30),)
    assert hours_from("02:30", "06:30", "UTC").triggers(now) == (time(2, 30),)
    assert hours_from("02:10", "06:30", "Australia/Lord_Howe").triggers(now) == (time(2, 10), time(2, 40))


@settings(max_examples=50, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    at=st.times().map(lambda each: each.replace(second=0, microsecond=0)),
    minutes=st.integers(1, 16 * 60),
    first=st.dates(date(2025, 1, 1), date(2030, 1, 1)),
)
def test_nights_follow_each_other_and_none_is_empty(zone: str, at: time, minutes: int, first: date) -> None:
    total = (at.hour * 60 + at.minute + minutes) % 1440
    hours = Hours(at, time(total // 60, total % 60), zone)
    nights = [first + timedelta(days=days) for days in range(4)]
    starts = [hours.start(night) for night in nights]
    assert starts == sorted(set(starts))
    for night, start in zip(nights, starts, strict=True):
        assert 0 < hours.end(night) - start <= 18 * HOUR
        assert hours.date_at(start) == night
        assert hours.latest(start) == night
        assert hours.latest(start - 1) == night - timedelta(days=1)


def test_every_mistake_is_reported() -> None:
    with pytest.raises(ConfigurationError) as caught:
        hours_from("25:00", "half past six", "Europe/Berln")
    zone, at, deadline = caught.value.problems
    assert "did you mean 'Europe/Berlin'?" in zone
    assert at.startswith("at=25:00: there is no such time")
    assert deadline.startswith("deadline=half past six: write a time")


@pytest.mark.parametrize(("at", "deadline"), [("06:30", "02:00"), ("02:00", "01:59"), ("02:00", "02:00")])
def test_a_deadline_before_the_start_is_a_mistake(at: str, deadline: str) -> None:
    with pytest.raises(ConfigurationError, match="deadline="):
        hours_from(at, deadline, "UTC")
