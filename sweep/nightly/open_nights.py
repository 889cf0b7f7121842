"""The nights that have begun and are not over: kept on disk, so that a tick that is killed loses none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from sweep.nightly.champion_news import ChampionCounts, ChampionNews
from sweep.nightly.due import PlannedNight
from sweep.nightly.night import Night, Outcome
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text

_Made = TypeVar("_Made")


@dataclass
class OpenNight:
    """A night of a schedule that has begun.

    Attributes:
        record: the night as it would be recorded if it ended now.
        start, until: its planned start, and when it must have ended, in seconds since the epoch.
        catches_up: whether its planned hours are over.
        prepared: whether what was there before its first turn has been read.
        trials_before: complete trials of the study then; None if that could not be read.
        champion_before: where data change, how much was recorded of the champion then; None until that is read.
        declined: seconds that were too few for another trial, as the study said; None if it did not.
        process, process_started: of the study, while it runs (`sweep.nightly.tick_lock.process_start`).
        over: whether only its record and its note are missing.
        tick_code: what it adds to the exit code of the tick.
    """

    record: Night
    start: float
    until: float
    catches_up: bool = False
    prepared: bool = False
    trials_before: int | None = None
    champion_before: ChampionCounts | None = None
    declined: float | None = None
    process: int | None = None
    process_started: str | None = None
    over: bool = False
    tick_code: int = 0

    @classmethod
    def of(cls, schedule: str, study: str, planned: PlannedNight, now: float) -> OpenNight:
        """A night that begins now."""
        record = Night(schedule, study, planned.date, started=now, ended=now, outcome=Outcome.UNFINISHED)
        return cls(record, planned.start, planned.until, planned.catches_up)

    @property
    def schedule(self) -> str:
        return self.record.schedule

    @property
    def has_run(self) -> bool:
        """Whether the study has had a turn in this night."""
        return self.record.seconds > 0 or self.process is not None  # a tick that is killed has not recorded how long

    def set(self, **values: Any) -> None:
        """Changes fields of its record."""
        self.record = replace(self.record, **values)

    def close(self, outcome: Outcome, reason: str, now: float, tick_code: int = 0) -> None:
        """Ends the night: its record and its note are all that is left to do."""
        self.set(outcome=outcome, reason=reason, ended=now)
        self.over, self.tick_code = True, tick_code


def read(paths: Paths) -> list[OpenNight]:
    """The nights that an earlier tick left open; none if the file is damaged, since a whole one replaces it each time."""
    try:
        return [_from_json(each) for each in json.loads(paths.open_nights.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
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


def _from_json(plain: Mapping[str, Any]) -> OpenNight:
    values, record = _known(OpenNight, plain), _known(Night, plain["record"])
    record["outcome"] = Outcome(record["outcome"])
    record["champion"] = _made(ChampionNews, record.get("champion"))
    counts = _made(ChampionCounts, values.get("champion_before"))
    return OpenNight(**{**values, "record": Night(**record), "champion_before": counts})


def _made(kind: type[_Made], plain: Mapping[str, Any] | None) -> _Made | None:
    return None if plain is None else kind(**_known(kind, plain))


def _known(kind: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields of later versions."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in plain.items() if name in names}
