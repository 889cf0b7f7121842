"""What the champion's losses were on the data of each night: `mlruns/champions/STUDY/drift.jsonl`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.store.json_lines import add_json_line, read_json_lines


@dataclass(frozen=True, slots=True)
class DriftPoint:
    """The champion on the data of one night. Losses on tune, in nats per token; NaN without examples.

    Attributes:
        created: ISO 8601, UTC.
        version: of the champion.
        data_hash: `Splits.data_hash`.
        change: what differs from the data that the champion was judged on, in words.
        condition: `good`, `worse` or `unclear`.
        retained: the share of its gain over the base that it keeps on the examples that have come since.
        old, new: the champion's loss on the examples it was judged with, and on those that have come since.
        base_old, base_new: the base's loss on the same.
        units: independent groups of examples, old and new.
    """

    created: str
    version: int
    data_hash: str
    change: str
    condition: str
    retained: float
    old: float
    new: float
    base_old: float
    base_new: float
    units: tuple[int, int]


class DriftLog:
    """The points of one study, in order."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def points(self) -> list[DriftPoint]:
        """All points; a line that a killed process left half-written is left out."""
        return [point for plain in read_json_lines(self._file) if (point := _point(plain)) is not None]

    def find(self, version: int, data_hash: str) -> DriftPoint | None:
        """The point of this version on these data."""
        return next((each for each in self.points() if (each.version, each.data_hash) == (version, data_hash)), None)

    def add(self, point: DriftPoint) -> None:
        """Adds a point, unless there is one of this version on these data."""
        if self.find(point.version, point.data_hash) is not None:
            return
        add_json_line(self._file, {each.name: _plain(getattr(point, each.name)) for each in dataclasses.fields(point)})


def _point(plain: Mapping[str, Any]) -> DriftPoint | None:
    try:
        values = {each.name: plain[each.name] for each in dataclasses.fields(DriftPoint)}
        values = {name: math.nan if value is None else value for name, value in values.items()}
        return DriftPoint(**{**values, "units": tuple(values["units"])})
    except (ValueError, KeyError, TypeError):
        return None


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
