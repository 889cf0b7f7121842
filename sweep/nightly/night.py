"""What happened in one night of a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sweep.nightly.champion_news import ChampionNews


class Outcome(StrEnum):
    """How a night ended."""

    DONE = "done"
    """The study has its verdict, or nothing was left to do."""
    UNFINISHED = "unfinished"
    """The deadline came first. All finished trials are kept, and the next night continues."""
    FAILED = "failed"
    """The study ended with an error."""
    SKIPPED = "skipped"
    """A check before the start said no: too little disk or memory."""
    MISSED = "missed"
    """The machine was off, and the night was not made up for."""

    @property
    def ran(self) -> bool:
        """Whether the study was started in this night."""
        return self in (Outcome.DONE, Outcome.UNFINISHED, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Night:
    """One night of one study.

    Attributes:
        schedule: the name of the schedule.
        study: the study that ran, or would have run.
        date: the day of the planned start in the schedule's time zone, YYYY-MM-DD.
        started: when the night began, in seconds since the epoch.
        ended: when it ended, likewise; as `started` if nothing ran.
        outcome: how it ended.
        exit_code: the exit code of the study's process (see `sweep.errors`), or of what kept it from starting; None if it was
            killed, or did not run.
        reason: why it ended so, in words; empty if there is nothing to say.
        verdict: the contents of verdict.json after the night; None if there was none.
        before: its contents before the night, likewise.
        trained: the number of trials that this night completed, those of challengers among them.
        seconds: how long the study's process ran.
        champion: of a schedule with `refresh=true`, what became of the champion; None if that is not known.
    """

    schedule: str
    study: str
    date: str
    started: float
    ended: float
    outcome: Outcome
    exit_code: int | None = None
    reason: str = ""
    verdict: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    trained: int = 0
    seconds: float = 0.0
    champion: ChampionNews | None = None

    @property
    def champion_news(self) -> ChampionNews | None:
        """What became of the champion, if the night looked at changed data or changed what is in use."""
        return self.champion if self.champion is not None and self.champion.is_news else None
