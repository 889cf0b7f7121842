"""What a tick asks about studies and how it starts them: a port, which the command line and tests fill."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.config.units import seconds
from sweep.console.masking import hide_values
from sweep.errors import ConfigurationError
from sweep.nightly.schedule import Schedule
from sweep.store.paths import Paths

_WALL_CLOCK = "budget.wall_clock"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study has come.

    Attributes:
        trials: number of complete trials that trained or cut an adapter, those of challengers among them; None if it cannot be read.
        finished: whether nothing is left to do; None if that is not known.
    """

    trials: int | None = 0
    finished: bool | None = None


ProgressOf = Callable[[Schedule], Progress]
"""Reads the progress of a schedule's study from its records."""

CommandLine = Callable[[Schedule, float], Sequence[str]]
"""The command line that runs a schedule's study, given the seconds it may take."""


def command_line(schedule: Schedule, budget: float) -> list[str]:
    """Runs the study with this Python. Of two budgets, that of the schedule's own words and the night's, the smaller counts."""
    own = [word for word in schedule.words if word.lstrip("+").startswith(f"{_WALL_CLOCK}=")]
    limits = [budget]
    for word in own:
        try:
            limits.append(seconds(word.partition("=")[2]))
        except ValueError:  # null
            continue
    words = [word for word in schedule.words if word not in own]
    module = "sweep.refresh" if schedule.refresh else "sweep"
    return [sys.executable, "-m", module, *words, f"{_WALL_CLOCK}={max(1, int(min(limits)))}s"]


def environment_of(schedule: Schedule, folder: Path) -> dict[str, str]:
    """The environment of the schedule's study: that of this process, and what its file adds.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return {**os.environ, **read_environment(schedule.environment, folder)}


def read_environment(file: str | None, folder: Path) -> dict[str, str]:
    """The variables of an environment file, empty for None.

    Args:
        folder: what a relative path begins at.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if file is None:
        return {}
    from dotenv import dotenv_values

    path = folder / Path(file).expanduser()
    try:
        # by a stream: for a file that is not there, the library would return nothing
        with path.open(encoding="utf-8") as stream:
            values = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"environment={file}: the file cannot be read ({why}: {path})") from error
    given = {name: value for name, value in values.items() if value is not None}
    hide_values(given)
    return given


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, this process has these variables."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def verdict_of(paths: Paths, study: str) -> Mapping[str, Any] | None:
    """The contents of a study's verdict.json; None if there is none that can be read."""
    try:
        contents = json.loads(paths.verdict(study).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return contents if isinstance(contents, dict) else None
