"""LoRA, rsLoRA and LoRA+ in the pack: low-rank updates of linear modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sweep.methods import scale
from sweep.records import Arm
from sweep.training.adapters import initial_a
from sweep.training.packed.adapter import Host, Matrices, SlotAdapter, target_modules, with_gradient
from sweep.training.packed.grouped import spread
from sweep.training.packed.updates import Dropout, Update


class LoraAdapter(SlotAdapter):
    """The LoRA matrices of one slot, initially zero: one vector of all A, and one of all B.

    Attributes:
        down: A by module name, shape (rank, in_features).
        up: B by module name, shape (out_features, rank).
        scale: factor of the update, see `sweep.methods.scale`.

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(self, arm: Arm, host: Host) -> None:
        self.side_by_side = host.side_by_side
        self.names = target_modules(arm, tuple(host.shapes))
        self._widths = tuple(tuple(host.shapes[name][side] for name in self.names) for side in (0, 1))
        super().__init__(arm, host, [arm.rank * sum(widths) for widths in self._widths])
        self.scale = scale(arm)
        self.rate_factors = (1.0, arm.loraplus_lr_ratio)
        self.down, self.up = (
            {
                name: with_gradient(part, own)
                for (name, part), own in zip(parts.items(), gradients.values(), strict=True)
            }
            for parts, gradients in zip(
                self._matrices(*(vector.detach() for vector in self.vectors)),
                self._matrices(*self._gradients),
                strict=True,
            )
        )

    @staticmethod
    def arm_of(config: Any) -> Arm:
        """See `SlotAdapter.arm_of`."""
        return Arm(
            rank=config.r,
            alpha_ratio=config.lora_alpha / config.r,
            dropout=config.lora_dropout,
            targets=tuple(sorted(config.target_modules or ())),
            learning_rate=0.0,
            method="rslora" if config.use_rslora else "lora",
        )

    def _matrices(
        self, all_a: torch.Tensor, all_b: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """A and B of each module as views of two vectors."""
        rank = self.arm.rank
        parts = []
        for vector, widths in zip((all_a, all_b), self._widths, strict=True):
            if self.side_by_side:
                parts.append(vector.view(rank, -1).split(widths, dim=1))
            else:
                parts.append(vector.split([rank * width for width in widths]))
        downs, ups = parts
        of_a = {
            name: part.view(rank, width) for name, part, width in zip(self.names, downs, self._widths[0], strict=True)
        }
        if self.side_by_side:
            return of_a, {name: part.t() for name, part in zip(self.names, ups, strict=True)}
        return of_a, {
            name: part.view(width, rank) for name, part, width in zip(self.names, ups, self._widths[1], strict=True)
        }

    def stackable(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All A, and all B transposed, side by side, shape (rank, columns of all modules)."""
        all_a, all_b = self.vectors
        return all_a.view(self.arm.rank, -1), all_b.view(self.arm.rank, -1)

    def in_type(self, dtype: torch.dtype) -> Matrices:
        """A and B of each module, cast at once if they lie side by side; else as they are, to be cast where they are used."""
        if not self.side_by_side:
            return self.down, self.up
        downs, ups = (
            spread(matrix, widths, dtype) for matrix, widths in zip(self.stackable(), self._widths, strict=True)
        )
        return dict(zip(self.names, downs, strict=True)), {
            name: part.t() for name, part in zip(self.names, ups, strict=True)
        }

    def initialize(self, seed: int) -> None:
        """Initializes A as `sweep.training.adapters.attach` does."""
        with torch.no_grad():
            for name, matrix in self.down.items():
                matrix.copy_(initial_a(seed, name, (matrix.shape[0], matrix.shape[1])))

    def update(self, name: str, rows: int, dropout: str | None, matrices: Matrices) -> Update:
        """The slot's update of a module.

        Args:
            rows: number of rows of the slot.
            dropout: see `SlotRows.dropout`.
            matrices: see `in_type`.
        """
        if name not in self.down:
            return Update(rows)
        downs, ups = matrices
        return Update(rows, downs[name], ups[name], self.scale, self.dropout(name, dropout))

    def dropout(self, name: str, stream: str | None) -> Dropout | None:
        """The dropout of a module's inputs; `stream` is that of `SlotRows`."""
        if stream is None or not self.arm.dropout or name not in self.down:
            return None
        return Dropout(self.arm.dropout, f"{stream} {name}")

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the matrix, for each A and B."""
        for kind, matrices in (("lora_A", self.down), ("lora_B", self.up)):
            for name, matrix in matrices.items():
                yield f"base_model.model.{name}.{kind}.weight", matrix
