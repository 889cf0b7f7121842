"""Counts of what a GPU would launch, and of what would make the host wait for it, in code that runs on a CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_READ_BY_OPERATOR = ("aten._local_scalar_dense.default", "aten.nonzero.default", "aten.equal.default")
"""Of these the host needs the result: `item`, `float`, `int` and `bool` of a tensor, and shapes that depend on numbers."""

_READ_BY_METHOD = (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy)
"""Methods that copy to the host. Of a tensor on a CPU they call no operator."""


class _Operators(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READ_BY_METHOD:
            self._counts[func.__name__] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def operators() -> Iterator[Counter[str]]:
    """Context that counts the operators that torch calls, by name."""
    counts: Counter[str] = Counter()
    with _Operators(counts):
        yield counts


def read_backs(run: Callable[[], object]) -> Counter[str]:
    """How often `run` reads numbers of tensors on the host, by operator or method."""
    methods: Counter[str] = Counter()
    with operators() as counts, _Methods(methods):
        run()
    return methods + Counter({name: counts[name] for name in _READ_BY_OPERATOR if counts[name]})
