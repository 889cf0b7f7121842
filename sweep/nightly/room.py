"""Whether there are memory, disk and GPUs enough to start a study, before it loads anything.

GPUs are asked through their drivers: torch would take seconds, and keep memory of each GPU for itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from sweep.config.gpus import Gpu, amd_gpus, nvidia_gpus, visible
from sweep.config.units import show_bytes

LEAST_MEMORY = 1_000_000_000
LEAST_DISK = 1_000_000_000
"""Bytes that any study needs: a worker's libraries; databases, logs and a few adapters."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is free.

    Attributes:
        memory, disk: bytes; the disk is that of `mlruns`.
        gpus: all GPUs that a driver lists.
    """

    memory: int
    disk: int
    gpus: tuple[Gpu, ...] = ()


def room_here(folder: Path) -> Room:
    """What is free on this machine, and on the disk of an existing folder."""
    gpus = tuple(nvidia_gpus() or amd_gpus())
    return Room(psutil.virtual_memory().available, shutil.disk_usage(folder).free, gpus)


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


def lacks_gpu(room: Room, needed: int, environ: Mapping[str, str]) -> Iterator[str]:
    """What a study lacks that trains on NVIDIA's or AMD's GPUs, with what to do.

    Args:
        needed: bytes of each GPU's memory; 0 if unknown.
        environ: of the study, which may hide GPUs (`CUDA_VISIBLE_DEVICES`).
    """
    seen = [gpu for _, gpu in visible(room.gpus, environ)]
    if not seen:
        there = (
            f"{len(room.gpus)} of this machine {'is' if len(room.gpus) == 1 else 'are'} hidden by an environment variable "
            "(CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES)"
            if room.gpus
            else "its driver lists none: see what `nvidia-smi` or `rocminfo` say"
        )
        yield (
            f"no GPU can be used, and the study trains on one ({there}); install the schedule again with device=cpu to train without"
        )
    full = [gpu for gpu in seen if gpu.total and gpu.free < needed]
    if full:
        least = min(full, key=lambda gpu: gpu.free)
        of_them = "" if len(seen) == 1 else f"{len(full)} of {len(seen)} GPUs are short of memory: "
        yield (
            f"{of_them}{show_bytes(least.free)} of {show_bytes(least.total)} are free on the GPU ({least.name}), and the study needs about "
            f"{show_bytes(needed)}: end what else runs there (`nvidia-smi` lists it), or install the schedule again with gpu_memory=..."
        )
