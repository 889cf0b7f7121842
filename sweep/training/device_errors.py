"""What an exception says about memory and device: memory ran out, or this process can no longer use the device. Loads no torch."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sweep.errors import EnvironmentLacks, GoldilocksError

_NO_MEMORY = (
    "out of memory",  # torch on CUDA, ROCm, XPU and MPS, and the driver's own "CUDA error: out of memory"
    "allocate memory",  # DefaultCPUAllocator on Linux; "Cannot allocate memory" of the system, as in mmap
    "not enough memory",  # DefaultCPUAllocator on Windows
    "_alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, and likewise cuDNN before version 9, cuSOLVER, hipBLAS
    "allocation_failed",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED and ..._HOST_...
    "bad_alloc",
    "memoryerror",  # Python's own, in the text of another error
    "failed to map segment",  # a shared library
    "can't start new thread",  # its stack does not fit
)

_DEVICE_FAILED = (
    "cuda error:",  # torch's words for every error of the runtime and, followed by CUBLAS_STATUS_..., of cuBLAS
    "hip error:",
    "error [cuda]:",  # Triton
    "cublas_status_execution_failed",
    "cudnn_status_execution_failed",
    "device_lost",  # XPU: UR_RESULT_ERROR_DEVICE_LOST
)

_DEVICE_IS_SOUND = (
    "invalid argument",
    "invalid configuration argument",
    "invalid device function",
    "no kernel image is available",
    "operation not supported",
)
"""Errors of the CUDA runtime that concern one call; those that leave the process "in an inconsistent state" do not end:
https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
"""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an exception, or the one that it was raised from, means that memory ran out: the machine's or the device's."""
    return any(_lacks_memory(each) for each in _with_causes(error))


def is_device_failure(error: BaseException) -> bool:
    """Returns whether an exception means that this process cannot use the device any more.

    Some errors of CUDA are sticky, such as a device-side assert, an illegal memory access or a failed launch: every later call
    reports the same error, whatever it computes, and only a new process can use the device again. They are also reported late,
    by a call that did not cause them. An error that is not known to be harmless counts as sticky.
    """
    return not is_out_of_memory(error) and any(_breaks_device(each) for each in _with_causes(error))


def forget_tensors(error: BaseException) -> None:
    """Turns the tracebacks of an exception, and of those behind it, into a note of it, which is printed with it.

    A traceback keeps the local variables of the functions that the exception has left, and with them all tensors of a failed
    pass, for as long as the exception is kept. `traceback.clear_frames` does not help: CPython 3.11 then never frees what closures
    use, as those of torch's modules with hooks.
    """
    if error.__traceback__ is None:
        return
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    for each in _chain(error):
        each.__traceback__ = None


@contextmanager
def naming_lack_of_memory(doing: str) -> Iterator[None]:
    """Context, or decorator, for code without which no trial can run: says that memory ran out, and which keys help.

    Args:
        doing: a clause, what was being done.

    Raises:
        EnvironmentLacks: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise EnvironmentLacks(
            f"out of memory while {doing} ({first_line(error)}); choose quant=nf4 or a smaller model, lower executor.workers or "
            "task.max_length, raise budget.memory where it is set, or end other programs that use the memory"
        ) from error


def first_line(error: BaseException) -> str:
    """The name of an exception's type, and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, GoldilocksError):
        return False
    if isinstance(error, MemoryError) or _is_named(error, "OutOfMemoryError"):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return _is_of_library(error) and _mentions(error, _NO_MEMORY)


def _breaks_device(error: BaseException) -> bool:
    if not _is_of_library(error) or _mentions(error, _DEVICE_IS_SOUND):
        return False
    return _is_named(error, "AcceleratorError") or _mentions(error, _DEVICE_FAILED)


def _is_of_library(error: BaseException) -> bool:
    return isinstance(error, RuntimeError | OSError | ImportError) or _is_named(error, "SafetensorError")


def _is_named(error: BaseException, name: str) -> bool:
    """Whether an exception is of a class of this name: the classes of torch are there only once it is loaded."""
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _mentions(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was explicitly raised from."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        yield current
        seen.append(current)
        current = current.__cause__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, its causes, and those that were being handled when it was raised."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        yield current
        pending += [current.__cause__, current.__context__]
