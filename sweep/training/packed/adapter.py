"""LoRA adapters of the slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn

from sweep.errors import TrialFailed
from sweep.methods import scale
from sweep.methods.initialization import is_subtracted, stored_arm, stored_rank
from sweep.records import Arm
from sweep.training.adapters import WEIGHTS, initial_a, peft_config, target_modules, use_default_permissions
from sweep.training.packed.grouped import spread
from sweep.training.packed.updates import Dropout, Update
from sweep.training.starts import Start, Starts, both

Matrices = tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]
"""A and B by module name."""


class SlotAdapter:
    """The LoRA matrices of one slot, initially zero. A fused optimizer step updates all of them as two flat vectors.

    Attributes:
        down: A by module name, shape (rank, in_features).
        up: B by module name, shape (out_features, rank).
        vectors: all A and all B, flattened; they share memory and gradients with `down` and `up`.
        scale: factor of the update, see `sweep.methods.scale`.
        initial: where their product is subtracted, the initial A and B by module name, see `sweep.training.starts`; else empty.

    Args:
        shapes: (in_features, out_features) of each linear module of the base by full name.
        side_by_side: whether the matrices of all modules lie side by side, B transposed, so that one copy takes them to a stack
            (`sweep.training.packed.grouped`); else one after the other.

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(
        self, arm: Arm, shapes: dict[str, tuple[int, int]], device: torch.device, *, side_by_side: bool = False
    ) -> None:
        self.arm = arm
        self.scale = scale(arm)
        self.side_by_side = side_by_side
        self.names = target_modules(arm, tuple(shapes))
        self._widths = tuple(tuple(shapes[name][side] for name in self.names) for side in (0, 1))
        self.initial: dict[str, Start] = {}
        if is_subtracted(arm):
            self.initial = {
                name: Start(torch.zeros(arm.rank, inputs, device=device), torch.zeros(outputs, arm.rank, device=device))
                for name, inputs, outputs in zip(self.names, *self._widths, strict=True)
            }
        columns = [arm.rank * sum(widths) for widths in self._widths]
        all_a, all_b = (nn.Parameter(torch.zeros(count, device=device)) for count in columns)
        self.vectors = (all_a, all_b)
        self._gradients = tuple(torch.zeros_like(vector) for vector in self.vectors)
        for vector, gradient in zip(self.vectors, self._gradients, strict=True):
            vector.grad = gradient
        self.down, self.up = (
            {
                name: _with_gradient(part, own)
                for (name, part), own in zip(parts.items(), gradients.values(), strict=True)
            }
            for parts, gradients in zip(
                self._matrices(*(vector.detach() for vector in self.vectors)),
                self._matrices(*self._gradients),
                strict=True,
            )
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

    @property
    def rank(self) -> int:
        """The rank of the update: that of the arm, twice as much where the initial product is subtracted."""
        return stored_rank(self.arm)

    @property
    def bytes(self) -> int:
        """Memory of the matrices, their gradients and AdamW's two moments."""
        fixed = sum(start.down.nbytes + start.up.nbytes for start in self.initial.values())
        return 4 * sum(vector.nbytes for vector in self.vectors) + fixed

    def stackable(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All A, and all B transposed, side by side, shape (`rank`, columns of all modules)."""
        all_a, all_b = (vector.view(self.arm.rank, -1) for vector in self.vectors)
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

    def zero_gradients(self) -> None:
        """Sets all gradients to zero in place."""
        for gradient in self._gradients:
            gradient.zero_()

    def drop_gradients(self) -> None:
        """Frees the memory of the gradients; the adapter cannot be trained any more."""
        self._gradients = ()
        for parameter in (*self.vectors, *self.down.values(), *self.up.values()):
            parameter.grad = None

    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(vector.numel() for vector in self.vectors)

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the matrix, for each A and B."""
        for side, matrices in enumerate((self.down, self.up)):
            for name, matrix in matrices.items():
                yield peft_names(name)[side], matrix

    def save(self, folder: Path, base_name: str) -> None:
        """Saves the adapter in PEFT's format (safetensors), a plain LoRA adapter whatever it started as.

        Args:
            base_name: name of the base on the model hub.
        """
        folder.mkdir(parents=True, exist_ok=True)
        peft_config(stored_arm(self.arm), base_name, inference_mode=True).save_pretrained(str(folder))
        matrices: dict[str, torch.Tensor] = dict(self.matrices())
        for name, start in self.initial.items():
            down, up = peft_names(name)
            matrices[down], matrices[up] = both(self.down[name], self.up[name], start)
        tensors = {name: matrix.detach().cpu().contiguous().clone() for name, matrix in matrices.items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        use_default_permissions(folder)


def load_slot_adapter(
    folder: Path, shapes: dict[str, tuple[int, int]], device: torch.device, *, side_by_side: bool = False
) -> SlotAdapter:
    """Loads a saved LoRA adapter; see `SlotAdapter`.

    Raises:
        TrialFailed: the folder has no adapter in safetensors format, or one for another base.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise TrialFailed(f"the adapter is missing: {folder}")
    config = LoraConfig.from_pretrained(str(folder))
    arm = Arm(
        rank=config.r,
        alpha_ratio=config.lora_alpha / config.r,
        dropout=config.lora_dropout,
        targets=tuple(sorted(config.target_modules or ())),
        learning_rate=0.0,
        method="rslora" if config.use_rslora else "lora",
    )
    adapter, saved = SlotAdapter(arm, shapes, device, side_by_side=side_by_side), load_file(weights)
    matrices = dict(adapter.matrices())
    if {name: matrix.shape for name, matrix in matrices.items()} != {name: part.shape for name, part in saved.items()}:
        raise TrialFailed(f"the adapter in {folder} does not fit this base")
    with torch.no_grad():
        for name, matrix in matrices.items():
            matrix.copy_(saved[name])
    adapter.drop_gradients()
    return adapter


def peft_names(module: str) -> tuple[str, str]:
    """PEFT's names of a module's A and B."""
    return f"base_model.model.{module}.lora_A.weight", f"base_model.model.{module}.lora_B.weight"


def _with_gradient(matrix: torch.Tensor, gradient: torch.Tensor) -> nn.Parameter:
    parameter = nn.Parameter(matrix)
    parameter.grad = gradient  # backward accumulates in place
    return parameter
