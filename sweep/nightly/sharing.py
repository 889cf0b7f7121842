"""How studies share a night: who had least lately goes first, and each gets an equal share of what is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.nightly.night import Night

LATELY_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A study whose night is open.

    Attributes:
        until: when its night must have ended, in seconds since the epoch.
    """

    schedule: str
    until: float


def next_turn(waiting: Collection[Waiting], used: Mapping[str, float]) -> Waiting:
    """Who goes next: who had the least time lately; among equals whose night ends first, then by name.

    Args:
        used: seconds by schedule.
    """
    return min(waiting, key=lambda each: (used.get(each.schedule, 0.0), each.until, each.schedule))


def turn_ends(first: Waiting, waiting: Collection[Waiting], now: float, starts: Sequence[float] = ()) -> float:
    """When the turn of a study ends.

    It gets an equal share of the time until the first night ends, so that each of the others can get as much; what a study does not use
    is shared among those after it. A turn ends when another night begins, which then has its share, too.

    Args:
        waiting: every study whose night is open, `first` among them.
        starts: when nights of other schedules begin.
    """
    first_end = min(each.until for each in waiting)
    share = now + (first_end - now) / len(waiting) if len(waiting) > 1 else first.until
    return min([first.until, share, *(start for start in starts if now < start)])


def used_lately(nights: Iterable[Night], now: float) -> dict[str, float]:
    """Seconds that each schedule's studies ran in the last week."""
    seconds: dict[str, float] = {}
    for night in nights:
        if now - LATELY_SECONDS <= night.ended <= now:
            seconds[night.schedule] = seconds.get(night.schedule, 0.0) + night.seconds
    return seconds
