"""Adapters of several slots on one base at once: each token's linear modules get the update of its own slot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sweep.training.packed.adapter import SlotAdapter


@dataclass(frozen=True, slots=True)
class SlotRows:
    """One slot's part of a pass.

    Attributes:
        adapter: the slot's, or None for the bare base.
        rows: how many rows of the input are the slot's: tokens of a packed row, or examples of an ordinary batch.
        dropout: the stream that the slot's dropout is drawn from in this pass, or None for no dropout.
    """

    adapter: SlotAdapter | None
    rows: int
    dropout: str | None = None


class SlotAdapters:
    """Hooks on the base's linear modules; without a pass going on the base is as it was.

    Args:
        names: full names of the linear modules that adapters may target.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self._shares: tuple[SlotRows, ...] = ()
        for name in names:
            model.get_submodule(name).register_forward_hook(self._hook(name))

    @contextmanager
    def worn(self, shares: Sequence[SlotRows]) -> Iterator[None]:
        """Within, the rows of every pass belong to these slots, in this order."""
        before, self._shares = self._shares, tuple(shares)
        try:
            yield
        finally:
            self._shares = before

    def _hook(self, name: str) -> Any:
        def add(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            shares = self._shares
            if not any(share.adapter is not None and name in share.adapter.down for share in shares):
                return None
            return _with_updates(name, shares, arguments[0], output)

        return add


def _with_updates(name: str, shares: Sequence[SlotRows], inputs: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    flat_in, flat_out = inputs.reshape(-1, inputs.shape[-1]), output.reshape(-1, output.shape[-1])
    each = flat_in.shape[0] // sum(share.rows for share in shares)  # one, or the columns of an ordinary batch
    sizes = [share.rows * each for share in shares]
    parts = [
        own_out
        if share.adapter is None
        else share.adapter.add(name, _dropped(name, share.adapter, share.dropout, own_in), own_out)
        for share, own_in, own_out in zip(shares, flat_in.split(sizes), flat_out.split(sizes), strict=True)
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view_as(output)


def _dropped(name: str, adapter: SlotAdapter, stream: str | None, inputs: torch.Tensor) -> torch.Tensor:
    """Dropout from a stream of the slot, the step and the module: the same whoever the neighbours are, and when
    activations are computed again in the backward pass.
    """
    chance = adapter.arm.dropout
    if stream is None or chance == 0.0 or name not in adapter.down:
        return inputs
    seed = int.from_bytes(hashlib.sha256(f"{stream} {name}".encode()).digest()[:8], "big") >> 1
    generator = torch.Generator(inputs.device).manual_seed(seed)
    kept = torch.empty(inputs.shape, device=inputs.device).bernoulli_(1 - chance, generator=generator)
    return inputs * (kept / (1 - chance)).to(inputs.dtype)
