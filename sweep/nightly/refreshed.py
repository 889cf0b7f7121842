"""What a night of data that change did to the study's champion, read from what its runs of `refresh` recorded."""

from __future__ import annotations

from sweep.nightly.champion_news import ChampionCounts, ChampionNews
from sweep.records.champion import ChampionEntry
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog, DriftPoint
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshLog, RefreshStep


def champion_counts(paths: Paths, study: str) -> ChampionCounts:
    """How much is recorded; 0 for what cannot be read."""
    entries, points, steps = _read(paths, study)
    return ChampionCounts(len(entries), len(points), len(steps))


def champion_news(paths: Paths, study: str, before: ChampionCounts) -> ChampionNews | None:
    """What has come since; None if nothing is recorded, or if it cannot be read: then the study itself says what is wrong.

    Args:
        before: what `champion_counts` returned then.
    """
    entries, points, steps = _read(paths, study)
    if not entries and not points and not steps:
        return None
    fresh = entries[before.entries :]
    entry = fresh[-1] if fresh else None
    # a night may continue where an earlier one had scored the champion
    scored, worked = points[before.points :], steps[before.steps :]
    latest = (fresh or scored or worked)[-1:]
    found = next((each for each in reversed(points) if latest and each.data_hash == latest[0].data_hash), None)
    return ChampionNews(
        version=entries[-1].version if entries else 0,
        condition=found.condition if found is not None else "",
        change=found.change if found is not None else "",
        event=entry.event.value if entry is not None else "",
        reason=entry.reason if entry is not None else "",
    )


def _read(paths: Paths, study: str) -> tuple[list[ChampionEntry], list[DriftPoint], list[RefreshStep]]:
    try:
        log = RefreshLog(paths.refresh_log(study))
        return Champions(paths, study).entries(), DriftLog(paths.drift(study)).points(), log.steps()
    except Exception:  # however they are damaged
        return [], [], []
