"""How many cores there are to share between workers."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """The cores that this process may use: by affinity, and by the quota of its container (cgroup v2 `cpu.max`)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota(_QUOTA)))


def _quota(file: Path) -> int:
    """The whole cores that a quota allows; a very large number where there is none."""
    try:
        allowed, period = file.read_text().split()
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):
        return 1 << 20
