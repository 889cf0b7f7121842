"""How much memory there is to be had."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes of memory that can be had without swapping, a container's limit included."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, KeyError):
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        pages = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        # cached files count as used, but are given back when memory is wanted
        free = min(free, limit - used + int(pages["inactive_file"]))
    return max(0, free)
