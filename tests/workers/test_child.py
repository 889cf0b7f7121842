"""Why a worker could not start, as its parent hears it."""

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
def test_want_of_memory_is_said_whatever_met_it(error: Exception) -> None:
    assert _why_not_started(error).startswith("memory ran out while the worker started")


def test_anything_else_is_named() -> None:
    assert _why_not_started(ImportError("no peft")).startswith("the worker cannot start: ImportError: no peft")
