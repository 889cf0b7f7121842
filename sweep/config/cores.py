"""How many cores there are, and between how many workers they are shared."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

AUTO = "auto"
"""The word for a number that the machine decides."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """The cores that this process may use: by affinity, and by the quota of its container (cgroup v2 `cpu.max`)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota(_QUOTA)))


def chosen_workers(asked: int | str, threads: int | None, cores: int) -> int:
    """The workers of `executor.workers`.

    `auto` is two workers where the processor trains and has two cores or more: small matrices keep two processes busier than
    the threads of one (docs/engine.md has the figures). Beside an NVIDIA GPU it is one, which has the GPU's memory to itself.

    Args:
        asked: a number, or `auto`.
        threads: of each worker, if somebody has said; `auto` takes no more workers than there are cores for.
    """
    if asked != AUTO:
        return int(asked)
    return 1 if _trains_on_gpu() else max(1, min(2, cores // (threads or 1)))


def _trains_on_gpu() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return shutil.which("nvidia-smi") is not None and not hidden


def _quota(file: Path) -> int:
    """The whole cores that a quota allows; a very large number where there is none."""
    try:
        allowed, period = file.read_text().split()
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):
        return 1 << 20
