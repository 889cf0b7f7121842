"""What a scheduler is to this project, and files that belong to a schedule."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Protocol

from sweep.nightly.due import next_start
from sweep.nightly.schedule import Schedule
from sweep.store.whole_file import replace_text

_MARK_LINES = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tick runs.

    Attributes:
        folder: the working directory, which holds `mlruns`.
        python: the interpreter.
        now: seconds since the epoch.
    """

    folder: Path
    python: str
    now: float

    def command(self, *words: str) -> tuple[str, ...]:
        """A command of `sweep.schedule` with this interpreter."""
        return (self.python, "-m", "sweep.schedule", *words)


class Kind(Protocol):
    """A scheduler."""

    @property
    def name(self) -> str:
        """Its `kind=`."""
        ...

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of `install` that not every kind takes."""
        ...

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """What is wrong with a schedule for this kind, before anything is written."""
        ...

    def lacks(self) -> Iterator[str]:
        """What this machine lacks for it."""
        ...

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """The files to be written, with a mark in each (`mark`)."""
        ...

    def preview(self, schedule: Schedule, place: Place) -> str:
        """What else is written or called, for `dry_run=true`; empty if nothing is."""
        ...

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """Makes the scheduler use the files, and yields what the reader should know.

        Raises:
            EnvironmentLacks: the scheduler is not there or refuses.
        """
        ...

    def switch_off(self, schedule: Schedule, place: Place) -> None:
        """Makes the scheduler forget the schedule; its files are removed afterwards. Does nothing if it does not know it."""
        ...


class FilesOnly:
    """What kinds have in common whose files the reader hands to the scheduler."""

    keys: tuple[str, ...] = ()

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.problems`."""
        yield from ()

    def lacks(self) -> Iterator[str]:
        """See `Kind.lacks`."""
        yield from ()

    def preview(self, schedule: Schedule, place: Place) -> str:
        """See `Kind.preview`."""
        return ""

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        yield from ()

    def switch_off(self, schedule: Schedule, place: Place) -> None:
        """See `Kind.switch_off`."""


def mark(schedule: Schedule) -> str:
    """The comment by which a file is known to belong to a schedule."""
    return (
        f"# goldilocks schedule {schedule.name}: written by `sweep.schedule install`, which replaces it; "
        f"`sweep.schedule remove {schedule.name}` removes it"
    )


def is_marked(text: str, name: str) -> bool:
    """Whether a text begins with the mark of this schedule."""
    return any(line.startswith(f"# goldilocks schedule {name}:") for line in text.splitlines()[:_MARK_LINES])


def write_files(files: Mapping[Path, str]) -> None:
    """Writes files whole or not at all."""
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, text)


def foreign_files(files: Mapping[Path, str], name: str) -> Iterator[str]:
    """The files that somebody else has written: they are not replaced."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            yield f"{file}: cannot be read ({error}); move it away, or choose another name=..."
            continue
        if not is_marked(text, name):
            yield f"{file}: is not of this schedule, so it is not replaced; move it away, or choose another name=..."


def remove_file(file: Path, name: str) -> bool:
    """Removes a file if it has the mark of this schedule; returns whether it did."""
    try:
        if not is_marked(file.read_text(encoding="utf-8"), name):
            return False
        file.unlink()
    except (OSError, UnicodeDecodeError):
        return False
    return True


def cron_expression(times: tuple[time, ...]) -> str:
    """One cron expression that covers these times of day; with several it may name others, too, at which a tick does no harm."""
    minutes, hours = (sorted(set(values)) for values in ([t.minute for t in times], [t.hour for t in times]))
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"


def registration(schedule: Schedule) -> tuple[str, ...]:
    """The words of an `install` that registers the schedule on another machine, where only its scheduler's file is known."""
    hours = schedule.hours
    keys = {
        "name": schedule.name,
        "at": f"{hours.at:%H:%M}",
        "deadline": f"{hours.deadline:%H:%M}",
        "zone": hours.zone,
        "catch_up": str(schedule.catch_up).lower(),
        **({"refresh": "true"} if schedule.refresh else {}),
        "since": str(hours.date_at(next_start(schedule, schedule.since))),
        "kind": "none",
        **({"memory": str(schedule.memory)} if schedule.memory else {}),
        **({"disk": str(schedule.disk)} if schedule.disk else {}),
        **({"gpu_memory": str(schedule.gpu_memory)} if schedule.gpu_memory else {}),
    }
    notify = [f"notify={entry}" for entry in schedule.notify]
    return ("install", *schedule.words, *(f"{key}={value}" for key, value in keys.items()), *notify)


def shell(words: tuple[str, ...]) -> str:
    """The words as one line of a shell."""
    return shlex.join(words)


def folder_option(schedule: Schedule, place: Place, default: str) -> Path:
    """The folder of `into=`, relative to the working directory."""
    return place.folder / Path(schedule.options.get("into", default)).expanduser()


def unprintable(schedule: Schedule, place: Place) -> Iterator[str]:
    """Paths with line breaks or other control characters, which no scheduler's file can hold."""
    texts = {"folder": str(place.folder), "Python": place.python, "environment": schedule.environment or ""}
    yield from (f"{what}: {text!r} holds a control character" for what, text in texts.items() if not text.isprintable())


def here(now: float) -> Place:
    """The working directory and the interpreter of this process."""
    return Place(Path.cwd(), sys.executable, now)
