"""Nights that end in the same way one after another: how many, since when, and whether for the same reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.nightly.night import Night, Outcome

_VARIES = (
    re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}\S*"),
    re.compile(r"\b(?:[0-9a-f]{2}/)?(?=[0-9a-f]*\d)[0-9a-f]{6,}\b"),  # identities
    re.compile(r"\b\S*\br\d+\S*-s\d+\b"),  # trials
    re.compile(r"(?:\d+(?:[.,]\d+)*\s*(?:h|min|ms|m|s|B|[kMGT]i?B|%)(?!\w)\s*)+"),
    re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?"),
)
"""Times, identities, names of trials, durations, sizes and other numbers differ from night to night for one and the same reason."""
_LOST = (Outcome.FAILED, Outcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Streak:
    """Nights in a row that failed, or were skipped, for the same reason; those on which the machine was off are passed over.

    Attributes:
        nights: how many, the latest one included.
        since: the date of the first.
    """

    outcome: Outcome
    nights: int
    since: str

    @property
    def words(self) -> str:
        """`failed for the 3rd night in a row since 2026-03-01, for the same reason`."""
        return f"{self.outcome} for the {_ordinal(self.nights)} night in a row since {self.since}, for the same reason"


def streak(nights: Sequence[Night]) -> Streak | None:
    """The streak that the last of these nights belongs to; None unless it failed or was skipped for the reason of the one before it.

    Args:
        nights: of one schedule and study, in order.
    """
    ran = [night for night in nights if night.outcome is not Outcome.MISSED]
    if not ran or nights[-1].outcome not in _LOST:
        return None
    last = cause(ran[-1])
    same = 0
    for night in reversed(ran):
        if cause(night) != last:
            break
        same += 1
    return Streak(ran[-1].outcome, same, ran[-same].date) if same > 1 else None


def cause(night: Night) -> tuple[str, int | None, str]:
    """What two nights have in common that ended in the same way for the same reason."""
    text = night.reason
    for pattern in _VARIES:
        text = pattern.sub("# ", text)
    return night.outcome.value, night.exit_code, " ".join(text.split())


def _ordinal(number: int) -> str:
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"
