"""Where the figures of a page come from: versions, device, hashes, seeds, dates."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from sweep.config.units import show_seconds
from sweep.records import Provenance, StudyRecord, TrialRecord
from sweep.reports.recipe import method_of


def provenance(record: StudyRecord, trials: Sequence[TrialRecord], created: str) -> list[tuple[str, str]]:
    """What and its value, in the order to read them; what is not known is left out."""
    sources = [trial.provenance for trial in trials if trial.provenance is not None]
    started = [trial.started for trial in trials if trial.started > 0]
    ended = [trial.started + trial.seconds for trial in trials if trial.started > 0]
    seeds = sorted({trial.seed for trial in trials if trial.arm is not None})
    facts = [
        ("study", f"{record.name} ({record.identity})"),
        ("model", record.model),
        ("base from", _different(f"{source.base_source}, sha256 {source.base_hash}" for source in sources)),
        ("task", record.task),
        ("method", method_of(record)),
        ("data sha256", record.data_hash),
        ("device", _different(_device(source) for source in sources)),
        ("versions", _different(_versions(source) for source in sources)),
        ("seeds", ", ".join(str(seed) for seed in seeds)),
        ("first trial began", _time(min(started)) if started else ""),
        ("last trial ended", _time(max(ended)) if ended else ""),
        ("wall-clock time", f"{show_seconds(wall_clock(trials))} with a trial running" if started else ""),
        (
            "summed over trials",
            f"{show_seconds(sum(trial.seconds for trial in trials))}, those side by side counted each"
            if trials
            else "",
        ),
        ("page made", created),
    ]
    return [(name, value) for name, value in facts if value]


def wall_clock(trials: Sequence[TrialRecord]) -> float:
    """Seconds in which at least one of the trials was running; trials side by side count once."""
    spans = sorted((trial.started, trial.started + trial.seconds) for trial in trials if trial.started > 0)
    seconds, reached = 0.0, 0.0
    for began, ended in spans:
        seconds += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return seconds


def _different(values: Iterable[str]) -> str:
    """Each value once, in the order they came."""
    return "; ".join(dict.fromkeys(values))


def _device(source: Provenance) -> str:
    return f"{source.device}, {source.threads} threads"


def _versions(source: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(source.versions.items()))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
