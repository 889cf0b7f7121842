"""The low-rank updates of all slots by products over groups of rows, so that their number does not grow with the slots.

A and B of all slots are stacked once per pass, cast, and filled up with zero rows to one rank. A product then multiplies the rows of
each slot with its own matrix: torch's grouped product where it has a kernel, which takes the rows as they are, else a batched one
over rows gathered by slot. Neither reads another slot's numbers, so a NaN does not spread. The filling belongs to the stack alone: an
adapter, its gradients and its optimizer never have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sweep.training.packed.updates import Dropout

ALIGNED = 8
"""A grouped product reads rows of a multiple of 16 bytes: 8 numbers of bf16."""

BATCHED_ROWS = 8192
"""Up to this number of gathered rows, a GPU copies them faster than it launches the kernels of a loop. Not measured: estimated from
5 microseconds per launch, and 1 TB/s."""

Run = tuple[slice, slice]
"""Columns of one slot's matrix, and where they are in the stack."""


def grouped(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this device has a grouped product in this type that beats a loop over the slots.

    torch's kernel is for bf16 and compute capability 9 and 10. Below that `grouped_mm` runs, but is a loop in itself, which reads the
    groups' sizes back from the device at every call (torch 2.13, `_grouped_mm_fallback` in ATen/native/GroupedMMUtils.h).
    """
    if device.type != "cuda" or dtype != torch.bfloat16 or torch.version.hip or not hasattr(functional, "grouped_mm"):
        return False
    return torch.cuda.get_device_capability(device)[0] in (9, 10)


def stacked(device: torch.device) -> bool:
    """Whether the updates of all slots are computed together where that pays: where launches cost more than arithmetic."""
    return device.type != "cpu"


@dataclass(frozen=True, slots=True)
class StackPlan:
    """How the matrices of several slots are stacked.

    Attributes:
        widths: columns of each module in the stack.
        ranks: rank of each slot; 0 without an adapter.
        runs: the columns of each slot; modules that it does not adapt are zero.
        scales: factor of each slot.
        dtype: of the stack.
    """

    widths: tuple[int, ...]
    ranks: tuple[int, ...]
    runs: tuple[tuple[Run, ...], ...]
    scales: tuple[float, ...]
    dtype: torch.dtype

    @property
    def rows(self) -> int:
        """The largest rank, rounded up to whole rows of `ALIGNED` numbers."""
        return -(-max(self.ranks) // ALIGNED) * ALIGNED


def runs_of(modules: Sequence[str], widths: Sequence[int], own: frozenset[str]) -> tuple[Run, ...]:
    """The columns of a slot that adapts the modules `own`, where the stack has all of `modules`. Neighbours are one run."""
    runs: list[Run] = []
    taken = 0
    for name, end, width in zip(modules, accumulate(widths), widths, strict=True):
        if name not in own:
            continue
        columns, places = slice(taken, taken + width), slice(end - width, end)
        if runs and runs[-1][1].stop == places.start:
            columns, places = slice(runs[-1][0].start, columns.stop), slice(runs[-1][1].start, places.stop)
            runs.pop()
        runs.append((columns, places))
        taken += width
    return tuple(runs)


def stack(plan: StackPlan, matrices: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The matrices of all slots by module, each of shape (slots, `plan.rows`, columns of the module).

    Args:
        matrices: of each slot with an adapter, its modules side by side, shape (rank, columns).
    """
    stacked: tuple[torch.Tensor, ...] = _Stack.apply(plan, *matrices)
    return stacked


class _Stack(torch.autograd.Function):
    """Per slot one copy, and as many for its gradient, whatever the number of modules."""

    @staticmethod
    def forward(ctx: Any, plan: StackPlan, *matrices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.plan = plan
        ctx.shapes = [matrix.shape for matrix in matrices]
        ctx.set_materialize_grads(False)
        whole = matrices[0].new_zeros((len(plan.ranks), plan.rows, sum(plan.widths)), dtype=plan.dtype)
        for matrix, slot in zip(matrices, _adapted(plan), strict=True):
            own = matrix if plan.scales[slot] == 1 else matrix * plan.scales[slot]
            for columns, places in plan.runs[slot]:
                whole[slot, : plan.ranks[slot], places].copy_(own[:, columns])
        return whole.split(plan.widths, dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        plan: StackPlan = ctx.plan
        given = next((each for each in gradients if each is not None), None)
        if given is None:
            return (None, *(None for _ in ctx.shapes))
        parts = [
            given.new_zeros((len(plan.ranks), plan.rows, width)) if each is None else each
            for each, width in zip(gradients, plan.widths, strict=True)
        ]
        whole = torch.cat(parts, dim=2)
        of_matrices = []
        for shape, slot in zip(ctx.shapes, _adapted(plan), strict=True):
            own = whole.new_empty(shape, dtype=torch.float32)
            for columns, places in plan.runs[slot]:
                own[:, columns].copy_(whole[slot, : plan.ranks[slot], places])
            of_matrices.append(own if plan.scales[slot] == 1 else own.mul_(plan.scales[slot]))
        return None, *of_matrices


def spread(matrix: torch.Tensor, widths: Sequence[int], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The modules' parts of one slot's matrix in a type, each of shape (rank, columns of the module): two kernels in all."""
    parts: tuple[torch.Tensor, ...] = _Spread.apply(matrix, tuple(widths), dtype)
    return parts


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, matrix: torch.Tensor, widths: tuple[int, ...], dtype: torch.dtype
    ) -> tuple[torch.Tensor, ...]:
        ctx.dtype = matrix.dtype
        return matrix.to(dtype, copy=True).split(widths, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return torch.cat(gradients, dim=1).to(ctx.dtype), None, None


def _adapted(plan: StackPlan) -> list[int]:
    return [slot for slot, rank in enumerate(plan.ranks) if rank]


@dataclass(frozen=True, slots=True)
class RowGroups:
    """The rows of each slot in a pass.

    Attributes:
        ends: index after the last row of each slot, int32, on the device, shape (slots,).
        rows: number of rows of each slot, at least 1.
        gathered: rows of each slot, filled up with rows of the same slot to the longest, shape (slots, longest); None for grouped
            products.
        places: index of each row in the flattened `gathered`, shape (rows,).
        counted: 1 for a slot's rows, 0 for the filling, shape (slots, longest, 1).
    """

    ends: torch.Tensor
    rows: tuple[int, ...]
    gathered: torch.Tensor | None = None
    places: torch.Tensor | None = None
    counted: torch.Tensor | None = None

    def with_gathered(self, dtype: torch.dtype) -> RowGroups:
        """The groups for batched products of a type."""
        counts = self.ends.diff(prepend=self.ends.new_zeros(1))[:, None]  # (slots, 1)
        place = torch.arange(max(self.rows), device=self.ends.device)
        gathered = self.ends[:, None] - counts + place.minimum(counts - 1)
        row = torch.arange(sum(self.rows), device=self.ends.device)
        slot = torch.searchsorted(self.ends, row, right=True)
        places = row + slot * max(self.rows) - (self.ends - counts[:, 0])[slot]
        return replace(self, gathered=gathered, places=places, counted=(place < counts)[:, :, None].to(dtype))

    def repeated(self, times: int) -> RowGroups:
        """The groups if each row stands for `times` rows that follow each other."""
        groups = RowGroups(self.ends * times, tuple(times * rows for rows in self.rows))
        return groups if self.counted is None else groups.with_gathered(self.counted.dtype)

    def times(self, rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        """The rows of each slot times its matrix, shape (rows, columns).

        Args:
            rows: shape (rows, width).
            matrices: shape (slots, width, columns).
        """
        if self.places is None:
            return functional.grouped_mm(rows, matrices, offs=self.ends)
        return torch.bmm(self._gather(rows), matrices).flatten(0, 1).index_select(0, self.places)

    def products(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """one^T other of each slot's rows, shape (slots, width of `one`, width of `other`)."""
        if self.counted is None:
            return functional.grouped_mm(one.t(), other, offs=self.ends)
        return torch.bmm((self._gather(one) * self.counted).transpose(1, 2), self._gather(other))

    def _gather(self, rows: torch.Tensor) -> torch.Tensor:
        assert self.gathered is not None
        return rows.index_select(0, self.gathered.flatten()).view(*self.gathered.shape, -1)


def add_grouped_updates(
    inputs: torch.Tensor,
    output: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    groups: RowGroups,
    dropouts: Sequence[Dropout | None],
) -> torch.Tensor:
    """As `updates.add_updates`, for all slots at once.

    Args:
        down: A of each slot, shape (slots, rank, in_features).
        up: B of each slot, transposed and multiplied by its scale (with that of dropout), shape (slots, rank, out_features).
    """
    added: torch.Tensor = _AddGroupedUpdates.apply(output, inputs, down, up, groups, tuple(dropouts))
    return added


class _AddGroupedUpdates(torch.autograd.Function):
    """With x and y the rows of a slot, h = drop(x) A^T and the gradient g of y:

    y += h B^T,  d(B^T) = h^T g,  dh = g B,  dA = dh^T drop(x),  dx = drop'(dh A).
    """

    @staticmethod
    def forward(
        ctx: Any,
        output: torch.Tensor,
        inputs: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        groups: RowGroups,
        dropouts: tuple[Dropout | None, ...],
    ) -> torch.Tensor:
        x = inputs.reshape(-1, inputs.shape[-1])  # (rows, in_features)
        mask = _mask(x, groups, dropouts)
        dropped = x if mask is None else x * mask
        hidden = groups.times(dropped, down.transpose(1, 2))  # (rows, rank)
        output.view(-1, output.shape[-1]).add_(groups.times(hidden, up))
        ctx.mark_dirty(output)
        ctx.save_for_backward(inputs, down, up, hidden, *([] if mask is None else [mask]))
        ctx.groups = groups
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, down, up, hidden, *masks = ctx.saved_tensors
        groups: RowGroups = ctx.groups
        g = gradients[0].reshape(-1, gradients[0].shape[-1]).contiguous()  # (rows, out_features)
        x = inputs.reshape(-1, inputs.shape[-1])
        dropped = x * masks[0] if masks else x
        of_hidden = groups.times(g, up.transpose(1, 2))  # (rows, rank)
        of_down = groups.products(of_hidden, dropped)  # (slots, rank, in_features)
        of_up = groups.products(hidden, g)  # (slots, rank, out_features)
        of_inputs = None
        if ctx.needs_input_grad[1]:
            of_inputs = groups.times(of_hidden, down)  # (rows, in_features)
            of_inputs = (of_inputs.mul_(masks[0]) if masks else of_inputs).view_as(inputs)
        return gradients[0], of_inputs, of_down, of_up, None, None


def _mask(x: torch.Tensor, groups: RowGroups, dropouts: Sequence[Dropout | None]) -> torch.Tensor | None:
    """1 for inputs that are kept, and 0 for those that are dropped; None without dropout."""
    if not any(dropouts):
        return None
    mask = torch.ones_like(x)
    for own, dropout in zip(mask.split(list(groups.rows)), dropouts, strict=True):
        if dropout is not None:
            dropout.draw(own)
    return mask
