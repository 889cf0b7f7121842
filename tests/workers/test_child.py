"""The explanation of why a worker could not start."""

from __future__ import annotations

import pytest

from sweep.workers.child import _why_not_started


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
    ],
)
def test_every_kind_of_out_of_memory_is_named(error: Exception) -> None:
    assert _why_not_started(error).startswith("memory ran out while the worker started")


def test_any_other_error_is_named() -> None:
    assert _why_not_started(ImportError("no peft")).startswith("the worker cannot start: ImportError: no peft")
