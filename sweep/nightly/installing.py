"""Installing a schedule for its scheduler, and removing it: nothing but its own files and lines is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sweep.errors import ConfigurationError, GoldilocksError
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place, foreign_files, remove_file, unprintable, write_files
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import delete, load, names, save
from sweep.store.paths import Paths


def problems_of(schedule: Schedule, place: Place) -> list[str]:
    """What prevents a schedule from being installed, beside its hours and its study."""
    kind = kinds()[schedule.kind]
    found = [*unprintable(schedule, place), *kind.problems(schedule, place)]
    return found or list(foreign_files(kind.files(schedule, place), schedule.name))


def preview(schedule: Schedule, place: Place) -> Iterator[str]:
    """What `install` would write and call."""
    kind = kinds()[schedule.kind]
    for file, text in kind.files(schedule, place).items():
        yield f"# {shown(file, place)}\n{text}"
    if more := kind.preview(schedule, place):
        yield more


def install(schedule: Schedule, paths: Paths, place: Place) -> list[str]:
    """Installs a schedule in place of an earlier one of its name; returns what the reader should know.

    If the scheduler refuses, everything is as before.

    Raises:
        EnvironmentLacks: the scheduler is not there or refuses.
    """
    before = load(paths, schedule.name) if schedule.name in names(paths) else None
    kind = kinds()[schedule.kind]
    files = kind.files(schedule, place)
    save(paths, replace(schedule, files=tuple(map(str, files))))  # first, so that a tick finds what calls it
    if before is not None and before.kind != schedule.kind:
        _withdraw(before, place)
    try:
        write_files(files)
        told = list(kind.switch_on(schedule, place))
    except (GoldilocksError, OSError):
        _withdraw(schedule, place)
        delete(paths, schedule.name)
        if before is not None:
            _put_back(before, paths, place)
        raise
    if before is not None:
        for file in set(before.files) - set(map(str, files)):
            remove_file(Path(file), schedule.name)
    return told


def remove(name: str, paths: Paths, place: Place) -> list[str]:
    """Removes a schedule and what was written for its scheduler; returns the files. Its nights, logs and notes stay.

    Raises:
        ConfigurationError: there is no such schedule.
        EnvironmentLacks: the scheduler refuses.
    """
    removed = _withdraw(load(paths, name), place)
    delete(paths, name)
    return removed


def shown(file: Path, place: Place) -> str:
    """A path relative to the working directory if it lies below."""
    return str(file.relative_to(place.folder)) if file.is_relative_to(place.folder) else str(file)


def _withdraw(schedule: Schedule, place: Place) -> list[str]:
    kind = kinds().get(schedule.kind)
    if kind is None:
        raise ConfigurationError(f"{schedule.name}: there is no kind '{schedule.kind}' in this version")
    kind.switch_off(schedule, place)
    files = dict.fromkeys([*schedule.files, *map(str, kind.files(schedule, place))])
    return [shown(Path(file), place) for file in files if remove_file(Path(file), schedule.name)]


def _put_back(schedule: Schedule, paths: Paths, place: Place) -> None:
    save(paths, schedule)
    kind = kinds()[schedule.kind]
    write_files(kind.files(schedule, place))
    for _ in kind.switch_on(schedule, place):
        pass
