"""Measured memory: resident memory of this process on a CPU, allocated memory on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import torch

from sweep.config.devices import MPS
from sweep.errors import EnvironmentLacks
from sweep.training.device_errors import first_line, is_out_of_memory
from sweep.training.machine import available_memory, kind_of

_PROC = Path("/proc/self")

CONTEXT_BYTES = 600 * 2**20
"""What a process takes of a GPU beside its allocator: the context and the libraries' kernels. An assumption, not measured."""

_PROBE_BYTES = 4 * 2**20


class PeakMemory:
    """Measures peak memory between `start` and `peak`.

    CPU on Linux: the kernel's high-water mark of this process, reset by `start` (`/proc/self/clear_refs`, see proc(5));
    on other systems the maximum of samples taken every 20 ms. GPU: the most that torch's allocator has given out.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sampler: _Sampler | None = None

    def start(self) -> None:
        release()
        if kind_of(self._device).is_gpu:
            _allocator(self._device).reset_peak_memory_stats(self._device)
        elif not _reset_high_water_mark():
            self._sampler = _Sampler()

    def peak(self) -> int:
        """The peak in bytes since `start`."""
        if kind_of(self._device).is_gpu:
            return int(_allocator(self._device).max_memory_allocated(self._device))
        if self._sampler is not None:
            return self._sampler.stop()
        return _high_water_mark()


def resident_bytes(device: torch.device) -> int:
    """Memory in use: resident memory of this process, or allocated memory of the GPU."""
    if kind_of(device).is_gpu:
        return int(_allocator(device).memory_allocated(device))
    return psutil.Process().memory_info().rss


def free_bytes(device: torch.device) -> int:
    """Free memory of the machine, or of the GPU."""
    kind = kind_of(device)
    if kind is MPS:
        return max(0, total_bytes(device) - torch.mps.driver_allocated_memory())
    return int(torch.get_device_module(device).mem_get_info(device)[0]) if kind.is_gpu else available_memory()


def total_bytes(device: torch.device) -> int:
    """Memory of a GPU, of which `limit_memory` allows a share; on Apple's, what Metal recommends as the most."""
    if kind_of(device) is MPS:
        return int(torch.mps.recommended_max_memory())
    return int(torch.get_device_module(device).get_device_properties(device).total_memory)


def release() -> None:
    """Returns freed memory to the system, so that it does not count towards the next trial."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)


def worker_limit(budget: int | None, workers: int, device: torch.device) -> int | None:
    """Maximum bytes that a worker may use; None for no limit.

    Args:
        budget: `budget.memory`, or None.
        workers: number of workers that share the memory of the device; each has an equal share of a GPU's.
    """
    if workers == 1 or not kind_of(device).is_gpu:
        return budget
    share = max(0, total_bytes(device) // workers - CONTEXT_BYTES)
    return share if budget is None else min(budget, share)


def limit_memory(budget: int, device: torch.device) -> None:
    """Makes allocations fail beyond `budget` bytes of resident memory, or of the GPU's.

    CPU: limits private memory (RLIMIT_DATA, see setrlimit(2)) to the currently mapped memory plus the difference
    between the budget and the current resident memory.

    Args:
        device: a GPU has an index; torch takes no other.
    """
    kind = kind_of(device)
    if kind.is_gpu:
        share = min(1.0, budget / total_bytes(device))
        if kind is MPS:
            torch.mps.set_per_process_memory_fraction(share)
        else:
            torch.get_device_module(device).set_per_process_memory_fraction(share, device)
        return
    if sys.platform == "linux":
        mapped = _status_bytes("VmData")
        remaining = max(0, budget - resident_bytes(device))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (mapped + remaining, hard))


def check_measurable(device: torch.device) -> None:
    """Checks on a GPU, before anything is loaded, that peak memory can be measured and limited; every trial needs both.

    Raises:
        EnvironmentLacks: this build of torch does not do it on this device.
    """
    kind = kind_of(device)
    if not kind.is_gpu:
        return
    lacks = f"device={device.type}: PyTorch {torch.__version__} does not {{}} on an {kind.words}, which trials need; write device=cpu"
    try:
        peak = PeakMemory(device)
        peak.start()
        before = resident_bytes(device)
        block = torch.empty(_PROBE_BYTES, dtype=torch.uint8, device=device)
        del block
        measured = peak.peak() - before
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise EnvironmentLacks(f"{lacks.format('measure peak memory')} ({first_line(error)})") from error
    if measured < _PROBE_BYTES:
        raise EnvironmentLacks(lacks.format("measure peak memory"))
    try:
        limit_memory(total_bytes(device), device)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise EnvironmentLacks(f"{lacks.format('limit memory')} ({first_line(error)})") from error


def _allocator(device: torch.device) -> Any:
    """The module with the allocator's counters; that of MPS has no peaks of its own, torch 2.13 and later has them for all devices."""
    return torch.accelerator if kind_of(device) is MPS else torch.get_device_module(device)


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
