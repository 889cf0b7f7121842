"""How many cores there are to share between workers."""

from __future__ import annotations

import os


def available_cores() -> int:
    """The cores that this process may run on, which in a container are fewer than the machine's."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return os.cpu_count() or 1
