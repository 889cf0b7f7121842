"""Whether there is memory and disk enough to start a study, before it loads anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from sweep.config.units import show_bytes

LEAST_MEMORY = 1_000_000_000
LEAST_DISK = 1_000_000_000
"""Bytes that any study needs: a worker's libraries; databases, logs and a few adapters."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is free.

    Attributes:
        memory, disk: bytes; the disk is that of `mlruns`.
    """

    memory: int
    disk: int


def room_here(folder: Path) -> Room:
    """What is free on this machine, and on the disk of an existing folder."""
    return Room(psutil.virtual_memory().available, shutil.disk_usage(folder).free)


def lacks(room: Room, memory: int | None, disk: int | None) -> Iterator[str]:
    """What is lacking, each with what to do.

    Args:
        memory, disk: bytes that the study needs; None for the least that any needs.
    """
    needed = memory or LEAST_MEMORY
    if room.memory < needed:
        yield (
            f"{show_bytes(room.memory)} of memory are free, and the study needs about {show_bytes(needed)}: end other programs, or "
            "install the schedule again with memory=..."
        )
    needed = disk or LEAST_DISK
    if room.disk < needed:
        yield (
            f"{show_bytes(room.disk)} are free on the disk of mlruns, and the study needs about {show_bytes(needed)}: free some "
            "space, or install the schedule again with disk=..."
        )
