"""What a trial really takes: peaks of resident memory on a CPU, of allocated memory on CUDA."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import resource
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted
from sweep.training.machine import available_memory

if TYPE_CHECKING:
    from sweep.training.base_model import LoadedBase

_PROC = Path("/proc/self")


class PeakMemory:
    """Measures the peak between `start` and `peak`.

    CPU on Linux: the kernel's own high-water mark of this process, reset at the start (`/proc/self/clear_refs`, see
    proc(5)); elsewhere the largest of samples taken every 20 ms. CUDA: `torch.cuda.max_memory_allocated`.
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
    """What is held at this moment: resident memory of this process, or allocated CUDA memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def free_bytes(device: torch.device) -> int:
    """What can still be had, on the machine or on the CUDA device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return available_memory()


def release() -> None:
    """Gives freed memory back, so that one trial's leavings do not count for the next."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)


def limit_memory(budget: int, device: torch.device) -> None:
    """Makes allocations fail that would take this process beyond `budget` bytes of (resident or CUDA) memory.

    CPU: a limit on private memory (RLIMIT_DATA, see setrlimit(2)), set that far above what is mapped at this moment as
    the budget is above what is resident.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, budget / total), device)
        return
    if sys.platform == "linux":
        mapped = _status_bytes("VmData")
        capacity = max(0, budget - resident_bytes(device))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (mapped + capacity, hard))


_NO_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "can't start new thread",  # its stack does not fit
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a CPU or on CUDA."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


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
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._largest = max(self._largest, self._process.memory_info().rss)

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self._largest


def training_peak(base: LoadedBase, adapted: Adapted, batch: Sequence[Encoded]) -> int:
    """The peak of memory in bytes, resident (CPU) or allocated (CUDA), of a training step on `batch`.

    Runs forward and backward with the dequantized copies set aside, and takes what they and the trial's neighbours hold off
    the figure, so it is the peak of a job that is alone and has no copies. Call once the optimizer has its state, with no
    gradients there; weights, gradients and the streams of random numbers are afterwards as they were.
    """
    peak = PeakMemory(base.device)
    devices = [base.device] if base.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), base.copies.set_aside():
        peak.start()
        with torch.enable_grad():
            adapted.training_pass(batch)
        most = peak.peak()
    return most - base.copies.bytes - adapted.neighbour_bytes
