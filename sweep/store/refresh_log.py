"""What runs of `refresh` trained for a study's champion, and whether the last one came to its end: `mlruns/champions/STUDY/refresh.jsonl`.

The trials of a refresh are none of the study's, so no other record counts them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sweep.store.json_lines import add_json_line, read_json_lines


class RefreshEvent(StrEnum):
    """What a line records."""

    TRAINED = "trained"
    """An adapter was trained or cut."""
    PAUSED = "paused"
    """The budget allowed no further trial; the same command continues."""
    ENDED = "ended"
    """The data have led to an answer."""


@dataclass(frozen=True, slots=True)
class RefreshStep:
    """One line.

    Attributes:
        created: ISO 8601, UTC.
        data_hash: `Splits.data_hash`.
        adapter: the identity of the adapter that was trained; empty for other events.
        seconds: how long that trial took.
    """

    created: str
    event: RefreshEvent
    data_hash: str
    adapter: str = ""
    seconds: float = 0.0


class RefreshLog:
    """The steps of one study's refreshes, in order."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def steps(self) -> list[RefreshStep]:
        """All steps; a line that a killed process left half-written is left out."""
        return [step for plain in read_json_lines(self._file) if (step := _step(plain)) is not None]

    @property
    def adapters(self) -> list[str]:
        """The identities of all adapters that were trained, each once, in order."""
        return list(dict.fromkeys(step.adapter for step in self.steps() if step.adapter))

    @property
    def is_open(self) -> bool:
        """Whether the last run with something to do is unfinished."""
        steps = self.steps()
        return bool(steps) and steps[-1].event is not RefreshEvent.ENDED

    def add(self, event: RefreshEvent, data_hash: str, adapter: str = "", seconds: float = 0.0) -> None:
        """Adds a step; one that repeats the last, or an adapter that is there already, is left out."""
        steps = self.steps()
        if adapter and any(step.adapter == adapter for step in steps):
            return
        if not adapter and steps and (steps[-1].event, steps[-1].data_hash) == (event, data_hash):
            return
        step = RefreshStep(datetime.now(UTC).isoformat(timespec="seconds"), event, data_hash, adapter, seconds)
        add_json_line(self._file, dataclasses.asdict(step))


def _step(plain: Mapping[str, Any]) -> RefreshStep | None:
    try:
        known = {each.name for each in dataclasses.fields(RefreshStep)}
        values = {name: value for name, value in plain.items() if name in known}
        return RefreshStep(**{**values, "event": RefreshEvent(plain["event"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
