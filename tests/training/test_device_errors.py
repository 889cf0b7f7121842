"""Which exceptions mean that memory ran out or the device failed, and what they keep in memory."""

from __future__ import annotations

import errno
import traceback
import weakref

import pytest
import torch

from sweep.errors import ConfigurationError, EnvironmentLacks, TrialFailed
from sweep.training.device_errors import forget_tensors, is_device_failure, is_out_of_memory, naming_lack_of_memory


def raised_from(cause: Exception) -> Exception:
    try:
        raise ValueError("a packed pass fails") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.6 GiB"
        ),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("unable to mmap 4096 bytes from file </m>: Cannot allocate memory (12)"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        raised_from(torch.OutOfMemoryError("CUDA out of memory.")),
    ],
    ids=lambda error: str(error)[:40],
)
def test_memory_that_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_device_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(
            "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"
        ),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("HIP error: the operation cannot be performed in the present state"),
        RuntimeError("Triton Error [CUDA]: device-side assert triggered"),
        raised_from(RuntimeError("CUDA error: an illegal memory access was encountered")),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_device_that_failed(error: Exception) -> None:
    assert is_device_failure(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        torch.AcceleratorError("CUDA error: invalid argument"),
        ValueError("the text says: out of memory"),
        TrialFailed("no gradient reached the adapter; CUDA error: none"),
        ConfigurationError("model=large: out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_any_other_error(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not is_device_failure(error)


def test_an_exception_that_is_kept_keeps_no_tensor() -> None:
    tensors: list[weakref.ref[torch.Tensor]] = []

    def fail(depth: int) -> None:
        own = torch.ones(depth + 1)
        tensors.append(weakref.ref(own))
        if depth == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        try:
            fail(depth - 1)
        except RuntimeError as error:
            if depth == 1:
                raise RuntimeError("the pass failed") from error
            raise ValueError("the step failed")  # noqa: B904 (another error while this one is handled)

    try:
        fail(2)
    except ValueError as error:
        kept = error
    assert all(tensor() is not None for tensor in tensors), "this is the fault"
    forget_tensors(kept)
    assert [tensor() for tensor in tensors] == [None] * 3
    text = "".join(traceback.format_exception(kept))
    assert "CUDA out of memory." in text
    assert "fail(depth - 1)" in text


def test_lack_of_memory_names_the_keys_that_help() -> None:
    @naming_lack_of_memory("the base model was loaded")
    def load(error: Exception) -> None:
        raise error

    with pytest.raises(
        EnvironmentLacks, match=r"^out of memory while the base model was loaded \(OutOfMemoryError: CUDA"
    ) as caught:
        load(torch.OutOfMemoryError("CUDA out of memory.\nmore"))
    for key in ("quant=nf4", "executor.workers", "task.max_length", "budget.memory"):
        assert key in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"):
        load(RuntimeError("shapes"))
