"""A schedule to test with, and moments of its nights."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sweep.nightly.hours import hours_from
from sweep.nightly.schedule import Schedule

BERLIN = "Europe/Berlin"


def moment(text: str, zone: str = BERLIN) -> float:
    """`2026-11-28 02:00` in a zone, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def schedule(at: str = "02:00", deadline: str = "06:30", zone: str = BERLIN, **changes: Any) -> Schedule:
    made = Schedule(
        name="made",
        study="made",
        words=("+study=pharma",),
        hours=hours_from(at, deadline, zone),
        kind="none",
        since=moment("2026-11-20 12:00"),
        memory=1,
        disk=1,
    )
    return replace(made, **changes)
