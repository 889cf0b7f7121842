"""The schedules that are installed here, one file each under `mlruns/nightly/schedules`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError, Problems
from sweep.nightly.schedule import Schedule, as_json, from_json
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text


def names(paths: Paths) -> list[str]:
    """The names of all schedules, readable or not."""
    return sorted(file.stem for file in paths.schedules.glob("*.json"))


def load(paths: Paths, name: str) -> Schedule:
    """The schedule of this name.

    Raises:
        ConfigurationError: there is none, or its file cannot be read.
    """
    file = paths.schedule(name)
    try:
        schedule = from_json(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = names(paths)
        there = f"known: {', '.join(known)}" if known else "none is installed here"
        raise ConfigurationError(
            f"{name}: there is no such schedule{did_you_mean(name, known)} ({there}; folder {paths.root.parent})"
        ) from None
    except (OSError, ValueError, Problems) as error:
        raise ConfigurationError(f"{file}: cannot be used: {error}; install the schedule again") from error
    if schedule.name != name:
        raise ConfigurationError(f"{file}: holds the schedule '{schedule.name}'; give the file that name back")
    return schedule


def load_all(paths: Paths) -> Iterator[Schedule | ConfigurationError]:
    """Every schedule, or why it cannot be used, in the order of their names."""
    for name in names(paths):
        try:
            yield load(paths, name)
        except ConfigurationError as error:
            yield error


def save(paths: Paths, schedule: Schedule) -> None:
    """Writes a schedule; one of the same name is replaced. A killed process leaves the old or the new one."""
    file = paths.schedule(schedule.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(as_json(schedule), indent=1))


def delete(paths: Paths, name: str) -> None:
    """Removes a schedule's file; its nights, logs and notes stay."""
    paths.schedule(name).unlink(missing_ok=True)
