"""Second moments of what goes into an adapter's A and of the gradients that come back through its B, on training examples.

For a module with the update scale * B A, inputs x and gradients g of the loss with respect to its outputs, these are

    input     E[(A x)(A x)^T]
    gradient  E[(scale B^T g)(scale B^T g)^T]

both of shape (rank, rank): all that a cut weighted on one side, or on both, needs to know of x and g (`methods.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.cut_methods.workshop import Adapter
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch


@dataclass(slots=True)
class Moments:
    """Sums over tokens for one module.

    Attributes:
        inputs: shape (rank, rank), float64.
        gradients: likewise.
    """

    inputs: torch.Tensor
    gradients: torch.Tensor


def moments(
    base: LoadedBase, pack: Pack, adapter: Adapter, examples: Sequence[Encoded], batch: int = 8
) -> dict[str, Moments]:
    """The moments of each module with the adapter in place, by module name.

    Args:
        batch: examples per pass; gradients are those of the sum of the examples' losses.
    """
    slot = adapter.slot(pack, base.device)
    sums = {name: Moments(_zeros(down), _zeros(down)) for name, (down, _) in adapter.matrices.items()}
    with _collecting(base, adapter, sums):
        for first in range(0, len(examples), batch):
            pack.accumulate([SlotBatch(slot, examples[first : first + batch], 1)])
    return sums


@contextmanager
def _collecting(base: LoadedBase, adapter: Adapter, sums: Mapping[str, Moments]) -> Iterator[None]:
    handles = [
        base.model.get_submodule(name).register_forward_hook(_hook(adapter.scale, *adapter.matrices[name], sums[name]))
        for name in sums
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(scale: float, down: torch.Tensor, up: torch.Tensor, sums: Moments) -> Any:
    def after_forward(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen = (_rows(arguments[0]) @ down.t()).double()  # (tokens, rank)
        sums.inputs += seen.t() @ seen
        output.register_hook(after_backward)

    def after_backward(gradient: torch.Tensor) -> None:
        back = scale * (_rows(gradient) @ up).double()  # (tokens, rank)
        sums.gradients += back.t() @ back

    return after_forward


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().reshape(-1, tensor.shape[-1])


def _zeros(down: torch.Tensor) -> torch.Tensor:
    return torch.zeros(down.shape[0], down.shape[0], dtype=torch.float64)
