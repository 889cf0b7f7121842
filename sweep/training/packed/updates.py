"""The low-rank updates of all slots, added in place to the output of a frozen linear module, and their gradients.

One autograd function per module does what a graph of splits, products and concatenations would do, in fewer passes over memory:
the update is added to the frozen product itself, no slot's rows are copied, and only what the gradient needs is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

_LEVELS = 1 << 16
"""On a CPU a probability of dropout is rounded to a multiple of 1 / `_LEVELS`; inputs are rescaled by the rounded one."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Dropout of the inputs of one module in one slot, from a random stream of its own.

    A stream per slot, step and module depends neither on other slots nor on whether gradient checkpointing computes the
    activations a second time.

    Attributes:
        probability: that an input is dropped.
        stream: name of the random stream.
    """

    probability: float
    stream: str

    @property
    def _level(self) -> int:
        return round(self.probability * _LEVELS)

    def rescaling(self, device: torch.device) -> float:
        """The factor that keeps the expected value of the inputs."""
        if device.type != "cpu":
            return 1 / (1 - self.probability)
        return _LEVELS / (_LEVELS - self._level)

    def kept(self, inputs: torch.Tensor) -> torch.Tensor:
        """1 for inputs that are kept, and 0 for those that are dropped; shape, dtype and device of `inputs`."""
        if inputs.device.type != "cpu":
            kept = torch.empty(inputs.shape, device=inputs.device)
            return kept.bernoulli_(1 - self.probability, generator=self._generator(inputs.device)).to(inputs.dtype)
        # torch draws one number at a time on a CPU, which would cost a tenth of a step; each of these 64 bits decides on 4 inputs
        count = inputs.numel()
        words = np.random.SFC64(self._seed).random_raw(-(-count // 4))
        numbers = torch.from_numpy(words.view(np.int16)[:count]).view(inputs.shape)
        return torch.ge(numbers, self._level - _LEVELS // 2, out=torch.empty(inputs.shape, dtype=inputs.dtype))

    def draw(self, kept: torch.Tensor) -> None:
        """Overwrites `kept` with what the method of that name returns, on a GPU in one kernel."""
        if kept.device.type == "cpu":
            kept.copy_(self.kept(kept))
        else:
            kept.bernoulli_(1 - self.probability, generator=self._generator(kept.device))

    @property
    def _seed(self) -> int:
        return int.from_bytes(hashlib.sha256(self.stream.encode()).digest()[:8], "big") >> 1

    def _generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(self._seed)


@dataclass(frozen=True, slots=True)
class Update:
    """The update of one slot's rows: scale * dropout(inputs) A^T B^T.

    Attributes:
        rows: number of rows.
        down: A, shape (rank, in_features); None if the slot does not adapt this module.
        up: B, shape (out_features, rank); None like `down`.
    """

    rows: int
    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    scale: float = 1.0
    dropout: Dropout | None = None


def add_updates(inputs: torch.Tensor, output: torch.Tensor, updates: Sequence[Update]) -> torch.Tensor:
    """Adds each slot's update to its rows of a module's output, in place.

    Args:
        inputs: shape (..., in_features); the slots' rows follow each other in the order of `updates`.
        output: shape (..., out_features).
    """
    matrices = [matrix for update in updates for matrix in (update.down, update.up) if matrix is not None]
    added: torch.Tensor = _AddUpdates.apply(output, inputs, tuple(updates), *matrices)
    return added


class _AddUpdates(torch.autograd.Function):
    """With x and y a slot's rows, h = drop(x) A^T and the gradient g of y:

    y += c h B^T,  dB = c g^T h,  dh = c g B,  dA = dh^T drop(x),  dx = drop'(dh A).

    The output comes first among the inputs: autograd requires that of what is changed in place, where it is a view.
    """

    @staticmethod
    def forward(
        ctx: Any, output: torch.Tensor, inputs: torch.Tensor, updates: tuple[Update, ...], *matrices: torch.Tensor
    ) -> torch.Tensor:
        flat_in = inputs.reshape(-1, inputs.shape[-1])  # (rows, in_features)
        flat_out = output.view(-1, output.shape[-1])  # (rows, out_features)
        factors: list[torch.Tensor] = []
        hidden, kept, scales, first = [], [], [], 0
        for update in updates:
            rows = slice(first, first + update.rows)
            first += update.rows
            if update.down is None or update.up is None:
                continue
            x, mask, scale = flat_in[rows], None, update.scale
            if update.dropout is not None:
                mask = update.dropout.kept(x)
                x, scale = x * mask, scale * update.dropout.rescaling(x.device)
            down, up = update.down.to(x.dtype), update.up.to(x.dtype)
            h = x @ down.t()  # (rows, rank)
            flat_out[rows].addmm_(h, up.t(), alpha=scale)
            factors += [down, up]
            hidden.append(h)
            kept.append(mask)
            scales.append(scale)
        ctx.mark_dirty(output)
        ctx.save_for_backward(inputs, *factors, *hidden, *(mask for mask in kept if mask is not None))
        ctx.dtypes = [matrix.dtype for matrix in matrices]
        ctx.scales = scales
        ctx.has_mask = [mask is not None for mask in kept]
        ctx.places = [(update.rows, update.down is not None) for update in updates]
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, *saved = ctx.saved_tensors
        count = len(ctx.scales)
        factors, hidden, masks = saved[: 2 * count], saved[2 * count : 3 * count], iter(saved[3 * count :])
        flat_in = inputs.reshape(-1, inputs.shape[-1])
        flat_gradient = gradients[0].reshape(-1, gradients[0].shape[-1])  # (rows, out_features)
        of_inputs = torch.empty_like(flat_in) if ctx.needs_input_grad[1] else None
        of_matrices: list[torch.Tensor] = []
        first, number = 0, 0
        for count_of_rows, is_adapted in ctx.places:
            rows = slice(first, first + count_of_rows)
            first += count_of_rows
            if not is_adapted:
                if of_inputs is not None:
                    of_inputs[rows].zero_()
                continue
            down, up, h = factors[2 * number], factors[2 * number + 1], hidden[number]
            down_type, up_type = ctx.dtypes[2 * number : 2 * number + 2]
            mask = next(masks) if ctx.has_mask[number] else None
            g, x = flat_gradient[rows], flat_in[rows]
            of_hidden = (g @ up).mul_(ctx.scales[number])  # (rows, rank)
            of_down = of_hidden.t() @ (x if mask is None else x * mask)
            of_up = (g.t() @ h).mul_(ctx.scales[number])
            of_matrices += [of_down.to(down_type), of_up.to(up_type)]
            if of_inputs is not None:
                torch.mm(of_hidden, down, out=of_inputs[rows])
                if mask is not None:
                    of_inputs[rows].mul_(mask)
            number += 1
        return gradients[0], None if of_inputs is None else of_inputs.view_as(inputs), None, *of_matrices
