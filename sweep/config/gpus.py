"""The NVIDIA GPUs of this machine as their driver describes them, without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

NATIVE_BFLOAT16 = (8, 0)
"""The first compute capability that multiplies bf16; torch emulates it on older GPUs (V100, T4), slower than fp32."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as its driver describes it.

    Attributes:
        total: bytes of memory.
        free: bytes not in use.
        capability: compute capability, for example (9, 0); None if unknown.
    """

    name: str
    total: int
    free: int
    capability: tuple[int, int] | None

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether it has hardware for bf16; False if its capability is unknown."""
        return self.capability is not None and self.capability >= NATIVE_BFLOAT16


def gpus_listed(text: str) -> Iterator[Gpu]:
    """The GPUs in `nvidia-smi --query-gpu=name,memory.total,memory.free,compute_cap --format=csv,noheader,nounits`."""
    for line in text.splitlines():
        name, _, numbers = line.partition(", ")
        try:
            total, free, capability = (number.strip() for number in numbers.split(","))
            major, _, minor = capability.partition(".")
            known = (int(major), int(minor)) if minor.isdecimal() else None
            yield Gpu(name.strip(), int(total) * 2**20, int(free) * 2**20, known)
        except ValueError:
            continue


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine, from `nvidia-smi`."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    columns = "name,memory.total,memory.free,compute_cap"
    try:
        answer = subprocess.run(  # noqa: S603 (fixed words)
            [tool, f"--query-gpu={columns}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(gpus_listed(answer.stdout)) if answer.returncode == 0 else []


def trains_on_gpu() -> bool:
    """Whether a study would train on an NVIDIA GPU: there is a driver, and the GPUs are not hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return shutil.which("nvidia-smi") is not None and not hidden
