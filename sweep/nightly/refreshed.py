"""What a night of data that change did to the study's champion: its trials are none of the study's, which a night counts."""

from __future__ import annotations

from sweep.errors import GoldilocksError
from sweep.records.champion import ChampionEntry
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog, DriftPoint
from sweep.store.paths import Paths


def champion_records(paths: Paths, study: str) -> tuple[int, int]:
    """How many entries the history of the study's champion has, and how many points its drift; 0 for what cannot be read."""
    entries, points = _read(paths, study)
    return len(entries), len(points)


def refreshed_since(paths: Paths, study: str, before: tuple[int, int]) -> str:
    """What has come since, in words; empty if nothing has, or if it cannot be read.

    Args:
        before: what `champion_records` returned then.
    """
    entries, points = _read(paths, study)
    lines = [f"the champion is {each.condition} on the changed data ({each.change})" for each in points[before[1] :]]
    lines += [f"{each.event.value}, version {each.version} is in use: {each.reason}" for each in entries[before[0] :]]
    return "; ".join(lines)


def _read(paths: Paths, study: str) -> tuple[list[ChampionEntry], list[DriftPoint]]:
    try:
        return Champions(paths, study).entries(), DriftLog(paths.drift(study)).points()
    except (GoldilocksError, OSError, UnicodeDecodeError):  # the study itself says what is wrong
        return [], []
