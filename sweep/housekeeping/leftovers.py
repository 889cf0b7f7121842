"""What nobody reads any more under `mlruns`: scratch files and folders whose processes have ended, `.NAME.PROCESS`, and damaged ones."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from sweep.store.paths import Paths

_SCRATCH = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(?P<ending>\.earlier|\.svg)?")
_DAMAGED = re.compile(r"\..+\.damaged-\d+")
_HASHES = re.compile(r"hashes\.(?P<process>\d+)")

SETTLED_SECONDS = 3600.0
"""Younger ones stay: on a file system that machines share, a process of another machine may be writing them."""

_DEPTHS = {
    "trials": ("*/.*",),
    "adapters": ("*/.*",),
    "scores": ("*/*/.*",),
    "models": (".*", "hashes.*"),
    "reports": (".*", "*/.*"),
    "tracking": (".*",),
    "artifacts": ("*/.*", "*/*/.*", "*/*/artifacts/.*", "*/*/artifacts/*/.*"),
}


def leftovers(paths: Paths) -> Iterator[Path]:
    """The scratch files and folders that nobody will finish."""
    yield from (found for found in paths.root.glob(".*") if _is_left(found))
    for folder, patterns in _DEPTHS.items():
        for pattern in patterns:
            yield from (found for found in sorted((paths.root / folder).glob(pattern)) if _is_left(found))


def set_aside(paths: Paths) -> Iterator[tuple[Path, float]]:
    """The trials, adapters and base models that were set aside as damaged, and when, in seconds since the epoch."""
    for folder in ("trials", "adapters", "models"):
        for pattern in _DEPTHS[folder]:
            for found in sorted((paths.root / folder).glob(pattern)):
                if _DAMAGED.fullmatch(found.name) and found.is_dir():
                    # a rename changes the time of the entry, not that of the contents
                    yield found, max(found.stat().st_ctime, found.stat().st_mtime)


def _is_left(path: Path) -> bool:
    match = _SCRATCH.fullmatch(path.name) or _HASHES.fullmatch(path.name)
    if match is None:
        return False
    try:
        changed = path.lstat().st_mtime
    except OSError:
        return False
    if time.time() - changed < SETTLED_SECONDS or _is_alive(int(match["process"]), changed):
        return False
    # an interrupted replacement has left the only copy under this name
    return not path.name.endswith(".earlier") or path.with_name(str(match["name"])).exists()


def _is_alive(process: int, since: float) -> bool:
    """Whether that process is still the one that wrote something at that time, not a later one of its number."""
    try:
        return psutil.Process(process).create_time() <= since
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # somebody else's
        return True
