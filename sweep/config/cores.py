"""The number of CPU cores, and of the workers that share them."""

from __future__ import annotations

import math
import os
from pathlib import Path

from sweep.config.devices import AUTO, Devices

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """The cores that this process may use, by its CPU affinity and the quota of its container (cgroup v2 `cpu.max`)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota(_QUOTA)))


def chosen_workers(requested: int | str, threads: int | None, cores: int, devices: Devices) -> int:
    """The number of workers for `executor.workers`.

    `auto` is one worker for each visible GPU, which then has the GPU's memory to itself. On a CPU with two cores or more it is two:
    small matrices keep two processes busier than the threads of one (measurements: docs/engine.md).

    Args:
        requested: a number, or `auto`.
        threads: threads per worker if given; `auto` starts no more workers than there are cores for.
    """
    if requested != AUTO:
        return int(requested)
    return max(1, min(devices.count if devices.kind.is_gpu else 2, cores // (threads or 1)))


def _quota(file: Path) -> int:
    """The cores that a quota allows, rounded up; a very large number without a quota."""
    try:
        allowed, period = file.read_text().split()
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):
        return 1 << 20
