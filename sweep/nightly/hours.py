"""The hours of a night in a time zone: when it begins and ends on a given date, also where clocks change.

In spring a local time may not exist on one date. A night that would begin then begins when the clocks have changed, and a deadline
moves by as much as the clocks do. In autumn a local time may exist twice; the first one counts, for beginning and deadline alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from sweep.config.units import show_seconds
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError

_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_DAY = timedelta(days=1)
_LONGEST_ACROSS_MIDNIGHT = timedelta(hours=16)
"""A deadline before the start is on the next day, unless the night would be longer than this: then the two were swapped."""
_YEARS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Hours:
    """The planned hours of every night.

    Attributes:
        at: local time at which a night begins.
        deadline: local time at which it ends; on the next date if that is not after `at`.
        zone: IANA name of the time zone.
    """

    at: time
    deadline: time
    zone: str

    @property
    def crosses_midnight(self) -> bool:
        return self.deadline <= self.at

    @property
    def length(self) -> float:
        """Seconds of a night on which the clocks do not change."""
        return (_on(self.deadline) - _on(self.at) + (_DAY if self.crosses_midnight else timedelta())).total_seconds()

    def start(self, night: date) -> float:
        """When the night of this date begins, in seconds since the epoch."""
        zone, local = ZoneInfo(self.zone), datetime.combine(night, self.at)
        return _after_gap(local, zone) if _is_skipped(local, zone) else _instant(local, zone)

    def end(self, night: date) -> float:
        """When the night of this date must have ended, in seconds since the epoch; always later than its start."""
        last = night + _DAY if self.crosses_midnight else night
        end, start = _instant(datetime.combine(last, self.deadline), ZoneInfo(self.zone)), self.start(night)
        return end if end > start else start + self.length

    def date_at(self, moment: float) -> date:
        """The calendar date in the zone."""
        return datetime.fromtimestamp(moment, ZoneInfo(self.zone)).date()

    def latest(self, moment: float) -> date:
        """The date of the last night that has begun by then."""
        night = self.date_at(moment) + _DAY
        while self.start(night) > moment:
            night -= _DAY
        return night

    def triggers(self, moment: float) -> tuple[time, ...]:
        """The local times at which a scheduler should look whether a night is due.

        Schedulers skip a local time that does not exist, so where a night may begin at one, they look again after the clocks have changed.

        Args:
            moment: the clock changes of the years from then on count.
        """
        return _triggers(self.at, self.zone, self.date_at(moment))

    def show(self, moment: float) -> str:
        """A moment in the zone: `Sat 2026-11-28 02:00 CET`."""
        return datetime.fromtimestamp(moment, ZoneInfo(self.zone)).strftime("%a %Y-%m-%d %H:%M %Z")

    def __str__(self) -> str:
        return f"{self.at:%H:%M} to {self.deadline:%H:%M} {self.zone}"


@lru_cache(maxsize=16)
def _triggers(at: time, name: str, first: date) -> tuple[time, ...]:
    zone, times = ZoneInfo(name), [at]
    for days in range(366 * _YEARS_AHEAD):
        local = datetime.combine(first + days * _DAY, at)
        if _is_skipped(local, zone):
            shifted = datetime.fromtimestamp(_instant(local, zone), zone).time()
            times += [shifted] if shifted not in times else []
    return tuple(times)


def hours_from(at: str, deadline: str, zone: str) -> Hours:
    """The hours that a person has written.

    Raises:
        ConfigurationError: with every problem.
    """
    problems = [*_zone_problems(zone)]
    times: dict[str, time] = {}
    for key, text in {"at": at, "deadline": deadline}.items():
        try:
            times[key] = time_of_day(text)
        except ValueError as error:
            problems.append(f"{key}={text}: {error}")
    if len(times) == 2:
        problems += _order_problems(times["at"], times["deadline"])
    if problems:
        raise ConfigurationError(problems)
    return Hours(times["at"], times["deadline"], zone)


def time_of_day(text: str) -> time:
    """A local time written as `HH:MM`.

    Raises:
        ValueError: it is none.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a time of day as HH:MM, such as 02:00")
    hour, minute = int(match[1]), int(match[2])
    if hour > 23 or minute > 59:
        raise ValueError("there is no such time of day: 00:00 to 23:59")
    return time(hour, minute)


def local_zone() -> str:
    """The IANA name of this machine's time zone; UTC if it is not known by a name."""
    import tzlocal

    try:
        name = tzlocal.get_localzone_name()
    except (LookupError, ValueError, OSError):
        return "UTC"
    return name if name in available_timezones() else "UTC"


def _zone_problems(zone: str) -> Iterator[str]:
    known = available_timezones()
    if zone not in known:
        yield f"zone={zone}: there is no such time zone{did_you_mean(zone, known)} (write an IANA name such as Europe/Berlin or UTC)"


def _order_problems(at: time, deadline: time) -> Iterator[str]:
    if at == deadline:
        yield f"deadline={deadline:%H:%M}: is the start as well (at={at:%H:%M}); a night needs some time in between"
        return
    across = _on(deadline) + _DAY - _on(at)
    if deadline < at and across > _LONGEST_ACROSS_MIDNIGHT:
        yield (
            f"deadline={deadline:%H:%M}: is before the start (at={at:%H:%M}), and on the next day it would be "
            f"{show_seconds(across.total_seconds())} after it; a night across midnight has at most "
            f"{show_seconds(_LONGEST_ACROSS_MIDNIGHT.total_seconds())}"
        )


def _on(moment: time) -> datetime:
    return datetime.combine(date(2000, 1, 1), moment)


def _instant(local: datetime, zone: ZoneInfo) -> float:
    """The first moment with this local time; one that is skipped counts on from before the change (PEP 495)."""
    return local.replace(tzinfo=zone, fold=0).timestamp()


def _is_skipped(local: datetime, zone: ZoneInfo) -> bool:
    there_and_back = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None) != local


def _after_gap(local: datetime, zone: ZoneInfo) -> float:
    """The moment of the change that skips a local time."""
    low, high = _instant(local, zone) - 2 * 86400, _instant(local, zone)
    offset = datetime.fromtimestamp(high, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return float(round(high))
