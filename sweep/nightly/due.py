"""Which nights are due: a pure function of a schedule, the time, and the nights that are recorded.

Each calendar night from the schedule's beginning on is accounted for once: it runs in its hours, or is made up for at the next
opportunity, or is recorded as missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from sweep.nightly.night import Night
from sweep.nightly.schedule import Schedule

LEAST_SECONDS = 120.0
"""A study is not started for less: it would hardly load its base."""

_DAY = timedelta(days=1)
_CLOCK_SLACK = 86400.0


@dataclass(frozen=True, slots=True)
class PlannedNight:
    """A night of a schedule.

    Attributes:
        date: of the planned start in the schedule's zone, YYYY-MM-DD.
        start: when it begins or began, in seconds since the epoch.
        until: when it must have ended.
        catches_up: whether its planned hours are over.
    """

    date: str
    start: float
    until: float
    catches_up: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about a schedule.

    Attributes:
        night: the one to run, None if there is none.
        missed: those that nobody makes up for.
    """

    night: PlannedNight | None
    missed: tuple[PlannedNight, ...] = ()


def due(schedule: Schedule, now: float, recorded: Collection[str]) -> Due:
    """The night that is due, and those that were missed. Of several that were missed only the last is made up for.

    Args:
        recorded: the dates of the nights that are accounted for.
    """
    hours = schedule.hours
    past = [night for night in _begun(schedule, now) if str(night) not in recorded]
    if not past:
        return Due(None)
    *earlier, last = (PlannedNight(str(night), hours.start(night), hours.end(night)) for night in past)
    is_latest = last.date == str(hours.latest(now))
    if is_latest and last.until - now >= LEAST_SECONDS:
        return Due(last, tuple(earlier))
    if is_latest and now < last.until:
        return Due(None, tuple(earlier))  # too late to begin, too early to make up for it
    until = min(now + hours.length, hours.start(hours.latest(now) + _DAY))
    if schedule.catch_up and is_latest and until - now >= LEAST_SECONDS:
        return Due(PlannedNight(last.date, last.start, until, catches_up=True), tuple(earlier))
    if schedule.catch_up and is_latest:
        return Due(None, tuple(earlier))
    return Due(None, (*earlier, last))


def next_start(schedule: Schedule, now: float) -> float:
    """When the schedule's next night begins, in seconds since the epoch; later than `now`."""
    hours = schedule.hours
    night = hours.latest(max(now, schedule.since))
    while hours.start(night) <= now or hours.start(night) < schedule.since:
        night += _DAY
    return hours.start(night)


def recorded_dates(nights: Iterable[Night], now: float) -> set[str]:
    """The dates of the nights that are accounted for.

    Nights that ended in the future are not: the machine's clock was wrong when they were recorded, and would hide the real ones.
    """
    return {night.date for night in nights if night.ended <= now + _CLOCK_SLACK}


def _begun(schedule: Schedule, now: float) -> list[date]:
    """The dates of the nights that began between the schedule's beginning and now, in order."""
    hours = schedule.hours
    last = hours.latest(now)
    night = hours.date_at(schedule.since) - _DAY
    dates: list[date] = []
    while night <= last:
        if schedule.since <= hours.start(night) <= now:
            dates.append(night)
        night += _DAY
    return dates
