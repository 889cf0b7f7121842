"""What `sweep.gc` would remove, and the removal. The plan is made from records and folders alone, so a killed removal simply goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.housekeeping.leftovers import SETTLED_SECONDS, leftovers, set_aside
from sweep.housekeeping.removal import WEIGHTS, Kind, Removal, remove, size_of, weights_in
from sweep.housekeeping.usage import Usage, usage_of
from sweep.store.adapters import ADAPTER
from sweep.store.locks import Claims, held, is_held
from sweep.store.paths import Paths

RETENTION_DAYS = 30.0
"""How long weights that lost stay after their last use, unless something else is said."""

_DAY = 86400.0
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What would be removed.

    Attributes:
        removals: in the order in which they would be made.
        kept: number of adapters that stay, by reason.
    """

    removals: tuple[Removal, ...]
    kept: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Bytes of everything that would be removed."""
        return sum(removal.bytes for removal in self.removals)


def planned_removals(paths: Paths, days: float, storage_url: str | None = None) -> GcPlan:
    """What has to go: weights that lost and were not used for some days, damaged folders, what ended processes left, caches of no adapter.

    Args:
        days: retention of weights after the last result that used them.
        storage_url: as `storage.url`.

    Raises:
        ConfigurationError: there is no record of a study here, so nothing can be said to have lost.
        DataError, EnvironmentLacks: the records cannot be read.
    """
    usage = usage_of(paths, storage_url)
    removals = [Removal(Kind.SCRATCH, path, size_of(path), "its process has ended") for path in leftovers(paths)]
    kept: Counter[str] = Counter()
    for adapter in sorted({*usage.recorded, *_stored(paths)}):
        places = list(_weights(adapter, usage, paths))
        if not places:
            continue
        reason = usage.keep.get(adapter) or _in_use(adapter, paths) or _not_known(adapter, usage)
        reason = reason or _too_young(adapter, usage, places[0][1], days)
        if reason is not None:
            kept[reason] += 1
            continue
        why = _why(adapter, usage)
        removals += [
            Removal(kind, path, size, why, adapter) for kind, path in places if (size := _weights_size(kind, path))
        ]
    removals += _logged_models(paths, usage, days)
    removals += _damaged(paths, days)
    removals += _score_caches(paths, usage)
    return GcPlan(tuple(removals), dict(kept))


def apply(plan: GcPlan, paths: Paths) -> Iterator[Removal]:
    """Removes what was planned; yields each thing once it is gone. What is in use meanwhile stays.

    Raises:
        EnvironmentLacks: another process is removing.
        OSError: something cannot be removed.
    """
    paths.gc_lock.parent.mkdir(parents=True, exist_ok=True)
    with held(paths.gc_lock, "another sweep.gc removes files", seconds=_LOCK_SECONDS):
        claims = Claims()
        yield from (removal for removal in plan.removals if remove(removal, paths, claims))


def _stored(paths: Paths) -> list[str]:
    return [folder.name for folder in (paths.root / "adapters").glob("[!.]*/[!.]*") if folder.is_dir()]


def _weights(adapter: str, usage: Usage, paths: Paths) -> Iterator[tuple[Kind, Path]]:
    """Where an adapter's weights are: in its own folder, in those of its trials, among artifacts of its runs in `mlruns/mlflow.db`."""
    own = paths.trained_adapter(adapter)
    if own.is_dir():
        yield Kind.ADAPTER, own
    use = usage.recorded.get(adapter)
    if use is None:
        return
    for trial in sorted(use.trials):
        older = paths.trial(trial) / ADAPTER
        if older.is_dir():
            yield Kind.OLDER, older
    for study in sorted(use.studies):
        for run in sorted(use.runs & usage.known_here):
            folder = paths.artifacts / study / run / "artifacts" / ADAPTER
            if run not in usage.kept_runs and any(folder.glob(WEIGHTS)):
                yield Kind.ARTIFACT, folder


def _weights_size(kind: Kind, path: Path) -> int:
    return sum(map(size_of, weights_in(path))) if kind in (Kind.ARTIFACT, Kind.MODEL) else size_of(path)


def _in_use(adapter: str, paths: Paths) -> str | None:
    lock = paths.adapter_lock(adapter)
    return "claimed by a running process" if lock.exists() and is_held(lock) else None


def _not_known(adapter: str, usage: Usage) -> str | None:
    """Why an adapter without a record stays: whether it lost cannot be said."""
    if adapter in usage.only_on_disk and adapter not in usage.recorded:
        return "the records of its study are in another database (storage=URL)"
    return None


def _too_young(adapter: str, usage: Usage, path: Path, days: float) -> str | None:
    use = usage.recorded.get(adapter)
    age = time.time() - (path.stat().st_mtime if use is None else use.last)
    least = (
        max(SETTLED_SECONDS, days * _DAY) if use is None else days * _DAY
    )  # what no trial uses may be evaluated at this moment
    return f"used in the last {days:g} days" if age < least else None


def _why(adapter: str, usage: Usage) -> str:
    use = usage.recorded.get(adapter)
    if use is None:
        return "no trial uses it"
    return f"{', '.join(sorted(use.studies))}: {use.name} lost, last used {_day(use.last)}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _logged_models(paths: Paths, usage: Usage, days: float) -> Iterator[Removal]:
    """Weights in logged models of adapters that lost."""
    for model, adapter in usage.models:
        use, folder = usage.recorded[adapter], paths.artifacts / model.folder
        stays = usage.keep.get(adapter) or _in_use(adapter, paths)
        if stays or time.time() - max(model.last, use.last) < days * _DAY:
            continue
        if size := _weights_size(Kind.MODEL, folder):
            yield Removal(Kind.MODEL, folder, size, f"{_why(adapter, usage)}; no version in the registry", adapter)


def _damaged(paths: Paths, days: float) -> Iterator[Removal]:
    for folder, since in set_aside(paths):
        if time.time() - since >= days * _DAY:
            yield Removal(Kind.DAMAGED, folder, size_of(folder), f"set aside {_day(since)}")


def _score_caches(paths: Paths, usage: Usage) -> list[Removal]:
    """Caches of outcomes of adapters that neither exist nor have a result."""
    known = {*usage.recorded, *usage.only_on_disk, *usage.keep, *_stored(paths)}
    found: Sequence[Path] = sorted((paths.root / "scores").glob("[!.]*/[!.]*"))
    return [
        Removal(Kind.SCORES, folder, size_of(folder), "no adapter and no trial belongs to it")
        for folder in found
        if folder.name not in known and time.time() - folder.stat().st_mtime > _DAY
    ]
