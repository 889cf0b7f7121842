"""The output of nights: one file a night, of which the last are kept, each of limited size."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from sweep.store.paths import Paths

KEPT_NIGHTS = 60
MOST_BYTES = 5_000_000

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_CUT = b"[the beginning was cut off]\n"
_TURN = "== "
"""Begins the line that a tick writes before the output of a turn."""
_TRACEBACK = "Traceback (most recent call last):"
_TAIL_BYTES = 65536


def dates(paths: Paths, schedule: str) -> list[str]:
    """The nights whose output is kept, in order."""
    files = paths.night_log(schedule, "any").parent.glob("*.log")
    return sorted(file.stem for file in files if _DATE.fullmatch(file.stem))


def rotate(paths: Paths, schedule: str) -> None:
    """Removes the output of all but the last nights, and cuts off the beginning of what is too long."""
    nights = dates(paths, schedule)
    for night in nights[:-KEPT_NIGHTS]:
        paths.night_log(schedule, night).unlink(missing_ok=True)
    for night in nights[-KEPT_NIGHTS:]:
        shorten(paths.night_log(schedule, night))


def shorten(file: Path, most: int = MOST_BYTES) -> None:
    """Cuts off whole lines at the beginning of a file that is longer than `most` bytes, down to half of that."""
    if not file.exists() or file.stat().st_size <= most:
        return
    with file.open("rb") as stream:
        stream.seek(-most // 2, os.SEEK_END)
        stream.readline()
        rest = stream.read()
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_bytes(_CUT + rest)
    scratch.replace(file)


def turn_heading(study: str, moment: float) -> str:
    """The line before the output of a turn."""
    return f"{_TURN}{time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(moment))}: {study}\n"


def last_words(file: Path, most: int = 400) -> str:
    """The end of the last turn's output as one line, at most `most` characters long; of a traceback its error."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    begins = max((number for number, line in enumerate(lines, start=1) if line.startswith(_TURN)), default=0)
    lines = lines[begins:]
    if _TRACEBACK in lines:
        below = lines[len(lines) - lines[::-1].index(_TRACEBACK) :]
        lines = below[next((number for number, line in enumerate(below) if line and not line[0].isspace()), 0) :]
    words = " ".join(" ".join(lines).split())
    return words if len(words) <= most else f"...{words[-most:]}"
