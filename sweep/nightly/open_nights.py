"""The nights that have begun and are not over: kept on disk, so that a tick that is killed loses none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sweep.nightly.due import PlannedNight
from sweep.nightly.night import Night, Outcome
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text


@dataclass
class OpenNight:
    """A night of a schedule that has begun.

    Attributes:
        started: when it began, in seconds since the epoch.
        seconds: how long the study's process has run.
        trials_before: complete trials of the study when the night began.
        before: its verdict then.
        entries_before, points_before: where data change, what `champion_records` returned then; None until it was asked.
        outcome, exit_code, reason: of its last turn.
        verdict, trained, ended: as they will be recorded.
        declined: seconds that were too few for another trial, as the study said; None if it did not.
        prepared: whether `trials_before` and `before` are known.
        process, process_started: of the study, while it runs (`sweep.nightly.tick_lock.process_start`).
        over: whether only its record and its note are missing.
        tick_code: what it adds to the exit code of the tick.
    """

    schedule: str
    study: str
    date: str
    start: float
    until: float
    started: float
    catches_up: bool = False
    ended: float = 0.0
    seconds: float = 0.0
    trials_before: int = 0
    before: Mapping[str, Any] | None = None
    entries_before: int | None = None
    points_before: int = 0
    verdict: Mapping[str, Any] | None = None
    outcome: str = Outcome.UNFINISHED.value
    exit_code: int | None = None
    reason: str = ""
    trained: int = 0
    declined: float | None = None
    prepared: bool = False
    process: int | None = None
    process_started: str | None = None
    over: bool = False
    tick_code: int = 0

    @classmethod
    def of(cls, schedule: str, study: str, planned: PlannedNight, now: float) -> OpenNight:
        """A night that begins now."""
        return cls(schedule, study, planned.date, planned.start, planned.until, now, planned.catches_up, ended=now)

    def night(self) -> Night:
        """Its record."""
        return Night(
            schedule=self.schedule,
            study=self.study,
            date=self.date,
            started=self.started,
            ended=self.ended,
            outcome=Outcome(self.outcome),
            exit_code=self.exit_code,
            reason=self.reason,
            verdict=self.verdict,
            before=self.before,
            trained=self.trained,
            seconds=self.seconds,
        )


def read(paths: Paths) -> list[OpenNight]:
    """The nights that an earlier tick left open; none if the file is damaged, since a whole one replaces it each time."""
    try:
        stored = json.loads(paths.open_nights.read_text(encoding="utf-8"))
        known = {field.name for field in fields(OpenNight)}
        return [OpenNight(**{name: value for name, value in each.items() if name in known}) for each in stored]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def write(paths: Paths, nights: Iterable[OpenNight]) -> None:
    """Replaces the file; without nights it is removed."""
    contents = [asdict(night) for night in nights]
    file: Path = paths.open_nights
    if not contents:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(contents))
