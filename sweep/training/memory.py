"""Measured memory: resident memory of this process on a CPU, allocated memory on CUDA."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
import threading
from pathlib import Path

import psutil
import torch

from sweep.training.machine import available_memory

_PROC = Path("/proc/self")


class PeakMemory:
    """Measures peak memory between `start` and `peak`.

    CPU on Linux: the kernel's high-water mark of this process, reset by `start` (`/proc/self/clear_refs`, see proc(5));
    on other systems the maximum of samples taken every 20 ms. CUDA: `torch.cuda.max_memory_allocated`.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sampler: _Sampler | None = None

    def start(self) -> None:
        release()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif not _reset_high_water_mark():
            self._sampler = _Sampler()

    def peak(self) -> int:
        """The peak in bytes since `start`."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._sampler is not None:
            return self._sampler.stop()
        return _high_water_mark()


def resident_bytes(device: torch.device) -> int:
    """Memory in use: resident memory of this process, or allocated CUDA memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def free_bytes(device: torch.device) -> int:
    """Free memory of the machine, or of the CUDA device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return available_memory()


def release() -> None:
    """Returns freed memory to the system, so that it does not count towards the next trial."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)


def limit_memory(budget: int, device: torch.device) -> None:
    """Makes allocations fail beyond `budget` bytes of resident or CUDA memory.

    CPU: limits private memory (RLIMIT_DATA, see setrlimit(2)) to the currently mapped memory plus the difference
    between the budget and the current resident memory.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, budget / total), device)
        return
    if sys.platform == "linux":
        mapped = _status_bytes("VmData")
        remaining = max(0, budget - resident_bytes(device))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (mapped + remaining, hard))


def _status_bytes(key: str) -> int:
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _reset_high_water_mark() -> bool:
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    return _status_bytes("VmHWM")


class _Sampler:
    def __init__(self) -> None:
        self._process = psutil.Process()
        self._largest = self._process.memory_info().rss
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.02):
            self._largest = max(self._largest, self._process.memory_info().rss)

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self._largest
