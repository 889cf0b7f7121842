"""LoRA, rsLoRA and LoRA+ in the pack: low-rank updates of linear modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import PeftConfig
from torch import nn

from sweep.methods import scale
from sweep.methods.initialization import is_subtracted, stored_arm, stored_rank
from sweep.methods.module_ranks import for_modules, has_patterns, module_rank, module_scale
from sweep.records import Arm
from sweep.training.adapters import initial_a, peft_config, target_modules
from sweep.training.packed.adapter import Host, Matrices, SlotAdapter, with_gradient
from sweep.training.packed.grouped import spread
from sweep.training.packed.updates import Dropout, Update
from sweep.training.starts import Start, Starts, both


class LoraAdapter(SlotAdapter):
    """The LoRA matrices of one slot, initially zero: one vector of all A, and one of all B.

    Attributes:
        down: A by module name, shape (rank, in_features).
        up: B by module name, shape (out_features, rank).
        scale: factor of the update, see `sweep.methods.scale`.
        initial: where their product is subtracted, the initial A and B by module name, see `sweep.training.starts`; else empty.

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(self, arm: Arm, host: Host) -> None:
        self.side_by_side = host.side_by_side
        self.names = target_modules(arm, tuple(host.shapes))
        arm = for_modules(arm, self.names)
        self._widths = tuple(tuple(host.shapes[name][side] for name in self.names) for side in (0, 1))
        self._ranks = tuple(module_rank(arm, name) for name in self.names)
        self._rows = max(self._ranks)
        super().__init__(arm, host, [self._size(widths) for widths in self._widths])
        # of the update: twice the arm's where the initial product is subtracted
        self.rank = stored_rank(replace(arm, rank=self._rows))
        self.scale = scale(arm)
        self._scales = {name: module_scale(arm, name) if has_patterns(arm) else self.scale for name in self.names}
        self._factors = self._column_factors(host.device)
        self.initial: dict[str, Start] = {}
        if is_subtracted(arm):
            self.initial = {
                name: Start(
                    torch.zeros(arm.rank, inputs, device=host.device),
                    torch.zeros(outputs, arm.rank, device=host.device),
                )
                for name, inputs, outputs in zip(self.names, *self._widths, strict=True)
            }
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
            rank_pattern=tuple((config.rank_pattern or {}).items()),
            alpha_pattern=tuple((config.alpha_pattern or {}).items()),
            layers=tuple(config.layers_to_transform or ()),
        )

    def _matrices(
        self, all_a: torch.Tensor, all_b: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """A and B of each module as views of two vectors."""
        if self.side_by_side:
            downs, ups = (
                [
                    part[:rank]
                    for part, rank in zip(vector.view(self._rows, -1).split(widths, 1), self._ranks, strict=True)
                ]
                for vector, widths in zip((all_a, all_b), self._widths, strict=True)
            )
            return dict(zip(self.names, downs, strict=True)), {
                name: part.t() for name, part in zip(self.names, ups, strict=True)
            }
        of_a, of_b = (
            vector.split([rank * width for rank, width in zip(self._ranks, widths, strict=True)])
            for vector, widths in zip((all_a, all_b), self._widths, strict=True)
        )
        shapes = zip(self.names, self._ranks, *self._widths, of_a, of_b, strict=True)
        pairs = {name: (a.view(rank, inputs), b.view(outputs, rank)) for name, rank, inputs, outputs, a, b in shapes}
        return {name: a for name, (a, _) in pairs.items()}, {name: b for name, (_, b) in pairs.items()}

    def _size(self, widths: Sequence[int]) -> int:
        """Numbers of a vector: side by side, modules of a smaller rank have zero rows up to the largest, which stay zero in training."""
        if self.side_by_side:
            return self._rows * sum(widths)
        return sum(rank * width for rank, width in zip(self._ranks, widths, strict=True))

    def _column_factors(self, device: torch.device) -> torch.Tensor | None:
        """The scale of each column of all B side by side, as a multiple of `scale`; None if all are 1."""
        factors = [self._scales[name] / self.scale for name in self.names]
        if set(factors) == {1.0}:
            return None
        return torch.cat(
            [torch.full((width,), factor) for factor, width in zip(factors, self._widths[1], strict=True)]
        ).to(device)

    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(rank * (one + other) for rank, one, other in zip(self._ranks, *self._widths, strict=True))

    def stackable(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All A, and all B transposed, side by side, shape (`rank`, columns of all modules), for updates of factor `scale`."""
        all_a, all_b = (vector.view(self._rows, -1) for vector in self.vectors)
        if self._factors is not None:
            all_b = all_b * self._factors
        if not self.initial:
            return all_a, all_b
        starts = [self.initial[name] for name in self.names]
        return (
            torch.cat([all_a, torch.cat([start.down for start in starts], dim=1)]),
            torch.cat([all_b, torch.cat([-start.up.t() for start in starts], dim=1)]),
        )

    def in_type(self, dtype: torch.dtype) -> Matrices:
        """A and B of each module, cast at once if they lie side by side; else as they are, to be cast where they are used."""
        if not self.side_by_side and not self.initial:
            return self.down, self.up
        if not self.side_by_side:
            pairs = {name: both(self.down[name], self.up[name], start) for name, start in self.initial.items()}
            return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}
        downs, ups = (
            spread(matrix, widths, dtype) for matrix, widths in zip(self.stackable(), self._widths, strict=True)
        )
        return dict(zip(self.names, downs, strict=True)), {
            name: part.t() for name, part in zip(self.names, ups, strict=True)
        }

    def initialize(self, seed: int, starts: Starts | None = None) -> None:
        """Initializes A and B as `sweep.training.adapters.attach` does.

        Args:
            starts: what they start as with another initialization than the default.
        """
        with torch.no_grad():
            for name, matrix in self.down.items():
                if not starts:
                    matrix.copy_(initial_a(seed, name, (matrix.shape[0], matrix.shape[1])))
                    continue
                matrix.copy_(starts[name].down)
                self.up[name].copy_(starts[name].up)
                if name in self.initial:
                    self.initial[name].down.copy_(starts[name].down)
                    self.initial[name].up.copy_(starts[name].up)

    def constants(self) -> int:
        """See `SlotAdapter.constants`."""
        return sum(start.down.numel() + start.up.numel() for start in self.initial.values())

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
        factor = self.scale if self.side_by_side else self._scales[name]
        return Update(rows, downs[name], ups[name], factor, self.dropout(name, dropout))

    def dropout(self, name: str, stream: str | None) -> Dropout | None:
        """The dropout of a module's inputs; `stream` is that of `SlotRows`."""
        if stream is None or not self.arm.dropout or name not in self.down:
            return None
        return Dropout(self.arm.dropout, f"{stream} {name}")

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the matrix, for each A and B."""
        for side, matrices in enumerate((self.down, self.up)):
            for name, matrix in matrices.items():
                yield _peft_names(name)[side], matrix

    def peft_config(self, base_name: str) -> PeftConfig:
        """That of a plain LoRA adapter, whatever it started as."""
        return peft_config(stored_arm(self.arm), base_name, inference_mode=True)

    def stored(self) -> dict[str, torch.Tensor]:
        """The weights of that adapter."""
        weights: dict[str, torch.Tensor] = dict(self.matrices())
        for name, start in self.initial.items():
            down, up = _peft_names(name)
            weights[down], weights[up] = both(self.down[name], self.up[name], start)
        return weights


def _peft_names(module: str) -> tuple[str, str]:
    """PEFT's names of a module's A and B."""
    return f"base_model.model.{module}.lora_A.weight", f"base_model.model.{module}.lora_B.weight"
