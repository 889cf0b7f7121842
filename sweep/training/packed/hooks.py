"""Forward hooks that apply each slot's low-rank updates and factors to its rows of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from sweep.training.packed import grouped
from sweep.training.packed.adapter import Matrices, SlotAdapter
from sweep.training.packed.factors import times_factors
from sweep.training.packed.grouped import (
    ALIGNED,
    BATCHED_ROWS,
    RowGroups,
    StackPlan,
    add_grouped_updates,
    runs_of,
    stack,
)
from sweep.training.packed.layout import to_device
from sweep.training.packed.updates import Dropout, Update, add_updates


@dataclass(frozen=True, slots=True)
class SlotRows:
    """The rows of one slot in a pass.

    Attributes:
        adapter: the slot's adapter, or None for the base alone.
        rows: number of rows: tokens of a packed row, or examples of an ordinary batch.
        dropout: name of the random stream for dropout in this pass, or None for no dropout.
    """

    adapter: SlotAdapter | None
    rows: int
    dropout: str | None = None

    @property
    def scale(self) -> float:
        """The factor of the update, with that of dropout."""
        if self.adapter is None or not self.adapter.names:
            return 1.0
        dropout = self.adapter.dropout(self.adapter.names[0], self.dropout)
        return self.adapter.scale * (1.0 if dropout is None else dropout.rescaling(self.adapter.vectors[0].device))


Stacks = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""A and transposed B of all slots by module, see `grouped.add_grouped_updates`."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """The slots of a pass, and where they are computed together their groups and stacks, else the matrices of each."""

    slots: tuple[SlotRows, ...] = ()
    groups: RowGroups | None = None
    stacks: Stacks = field(default_factory=dict)
    matrices: tuple[Matrices, ...] = ()

    def updates_any(self, name: str) -> bool:
        """Whether a slot has an update of the module."""
        return any(slot.adapter is not None and name in slot.adapter.names for slot in self.slots)

    def updates(self, name: str, repeats: int) -> list[Update]:
        """The update of each slot."""
        return [
            Update(slot.rows * repeats)
            if slot.adapter is None
            else slot.adapter.update(name, slot.rows * repeats, slot.dropout, own)
            for slot, own in zip(self.slots, self.matrices, strict=True)
        ]

    def factors(self, name: str, *, of_inputs: bool) -> list[nn.Parameter | None] | None:
        """The factors of each slot for a module's inputs or outputs; None if no slot has any."""
        factors = [
            None
            if slot.adapter is None
            else (slot.adapter.input_factors if of_inputs else slot.adapter.output_factors).get(name)
            for slot in self.slots
        ]
        return None if all(own is None for own in factors) else factors

    def dropouts(self, name: str) -> list[Dropout | None]:
        """The dropout of each slot."""
        return [None if slot.adapter is None else slot.adapter.dropout(name, slot.dropout) for slot in self.slots]


class AdapterHooks:
    """Forward hooks on the base's linear modules; they do nothing outside `active`.

    Attributes:
        stacked: whether the slots' products are computed together where that pays; adapters then lie side by side.

    Args:
        shapes: (in_features, out_features) of the linear modules that adapters can target, by full name.
        dtype: of the products, that is, of the modules' inputs.
    """

    def __init__(
        self, model: nn.Module, shapes: dict[str, tuple[int, int]], device: torch.device, dtype: torch.dtype
    ) -> None:
        aligned = all(width % ALIGNED == 0 for shape in shapes.values() for width in shape)
        self.stacked = grouped.stacked(device)
        self._has_kernel = aligned and grouped.grouped(device, dtype)
        self._shapes, self._device, self._dtype = shapes, device, dtype
        self._current = _Pass()
        self._are_fixed = False
        self._kept: tuple[tuple[int, ...], Stacks] | None = None
        self._kept_matrices: dict[int, Matrices] = {}
        self._model = model
        self._scaled: set[str] = set()
        for name in shapes:
            model.get_submodule(name).register_forward_hook(self._hook(name))

    @contextmanager
    def active(self, slots: Sequence[SlotRows]) -> Iterator[None]:
        """Context in which the rows of each pass belong to these slots, in this order."""
        before = self._current
        self._hook_inputs(slots)
        self._current = self._prepared(tuple(slot for slot in slots if slot.rows))
        try:
            yield
        finally:
            self._current = before

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Context in which no adapter changes, for evaluation: what is made of them for one pass is kept for the next."""
        self._are_fixed = True
        try:
            yield
        finally:
            self._are_fixed, self._kept = False, None
            self._kept_matrices.clear()

    def _prepared(self, slots: tuple[SlotRows, ...]) -> _Pass:
        """Casts the adapters, once per pass and not per product."""
        rows = tuple(slot.rows for slot in slots)
        are_batched = not self._has_kernel and len(rows) > 1 and len(rows) * max(rows) <= BATCHED_ROWS
        if self.stacked and (self._has_kernel or are_batched):
            (ends,) = to_device([tuple(accumulate(rows))], self._device)
            groups = RowGroups(ends.to(torch.int32), rows)
            return _Pass(slots, groups.with_gathered(self._dtype) if are_batched else groups, self._stacks(slots))
        return _Pass(slots, matrices=tuple(self._matrices(slot) for slot in slots))

    def _matrices(self, slot: SlotRows) -> Matrices:
        if slot.adapter is None:
            return {}, {}
        kept = self._kept_matrices.get(id(slot.adapter))
        if kept is None:
            kept = slot.adapter.in_type(self._dtype)
            if self._are_fixed:
                self._kept_matrices[id(slot.adapter)] = kept
        return kept

    def _stacks(self, slots: Sequence[SlotRows]) -> Stacks:
        key = tuple(id(slot.adapter) for slot in slots)
        if self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        self._kept = None  # its memory is free for the next
        own = [frozenset(() if slot.adapter is None else slot.adapter.names) for slot in slots]
        names = tuple(name for name in self._shapes if any(name in each for each in own))
        if not names:
            return {}
        updating = [slot.adapter if slot.adapter is not None and slot.adapter.names else None for slot in slots]
        ranks = tuple(0 if adapter is None else adapter.rank for adapter in updating)
        matrices = [adapter.stackable() for adapter in updating if adapter is not None]
        sides = []
        for side, scales in ((0, (1.0,) * len(slots)), (1, tuple(slot.scale for slot in slots))):
            widths = tuple(self._shapes[name][side] for name in names)
            runs = tuple(runs_of(names, widths, each) for each in own)
            plan = StackPlan(widths, ranks, runs, scales, self._dtype)
            sides.append(stack(plan, [pair[side] for pair in matrices]))
        stacks = {name: (down, up) for name, down, up in zip(names, *sides, strict=True)}
        if self._are_fixed:
            self._kept = (key, stacks)
        return stacks

    def _hook_inputs(self, slots: Sequence[SlotRows]) -> None:
        """Hooks the modules whose inputs a slot scales; most methods scale none, so their passes are spared these calls."""
        for slot in slots:
            names = set() if slot.adapter is None else set(slot.adapter.input_factors) - self._scaled
            for name in names:
                self._model.get_submodule(name).register_forward_pre_hook(self._input_hook(name))
            self._scaled.update(names)

    def _input_hook(self, name: str) -> Any:
        def scale(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            factors = self._current.factors(name, of_inputs=True)
            if factors is None:
                return None
            return self._times_factors(arguments[0], factors), *arguments[1:]

        return scale

    def _hook(self, name: str) -> Any:
        def adapt(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            if self._current.updates_any(name):
                output = self._updated(name, arguments[0], output)
            factors = self._current.factors(name, of_inputs=False)
            return output if factors is None else self._times_factors(output, factors)

        return adapt

    def _times_factors(self, values: torch.Tensor, factors: Sequence[torch.Tensor | None]) -> torch.Tensor:
        repeats = self._repeats(values)
        return times_factors(values, [slot.rows * repeats for slot in self._current.slots], factors)

    def _repeats(self, values: torch.Tensor) -> int:
        """How many rows of `values` a row of a slot stands for: 1, or the columns of an ordinary batch."""
        return values.numel() // values.shape[-1] // sum(slot.rows for slot in self._current.slots)

    def _updated(self, name: str, inputs: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """The output with the low-rank updates of all slots."""
        current, repeats = self._current, self._repeats(inputs)
        if current.groups is None:
            return add_updates(inputs, output, current.updates(name, repeats))
        groups = current.groups if repeats == 1 else current.groups.repeated(repeats)
        stacks, dropouts = current.stacks[name], current.dropouts(name)
        if inputs.dtype == output.dtype == self._dtype:
            return add_grouped_updates(inputs, output, *stacks, groups, dropouts)
        update = torch.zeros_like(output, dtype=self._dtype)
        return output + add_grouped_updates(inputs.to(self._dtype), update, *stacks, groups, dropouts)
