"""LoRA adapters of the slots, and the hooks that add each slot's update to its rows of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn

from sweep.errors import ConfigurationError, TrialFailed
from sweep.methods import scale
from sweep.records import Arm
from sweep.training.adapters import WEIGHTS, initial_a, peft_config, use_default_permissions
from sweep.training.packed.updates import Dropout, Update, add_updates


class SlotAdapter:
    """The LoRA matrices of one slot, initially zero. A fused optimizer step updates all of them as two flat vectors.

    Attributes:
        down: A by module name, shape (rank, in_features).
        up: B by module name, shape (out_features, rank).
        vectors: all A and all B, flattened; they share memory and gradients with `down` and `up`.
        scale: factor of the update, see `sweep.methods.scale`.

    Args:
        shapes: (in_features, out_features) of each linear module of the base by full name.

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(self, arm: Arm, shapes: dict[str, tuple[int, int]], device: torch.device) -> None:
        self.arm = arm
        self.scale = scale(arm)
        targets = target_modules(arm, tuple(shapes))
        self.down, all_a, a_gradient = _flat_matrices({name: (arm.rank, shapes[name][0]) for name in targets}, device)
        self.up, all_b, b_gradient = _flat_matrices({name: (shapes[name][1], arm.rank) for name in targets}, device)
        self.vectors = (all_a, all_b)
        self._gradients: tuple[torch.Tensor, ...] = (a_gradient, b_gradient)

    def initialize(self, seed: int) -> None:
        """Initializes A as `sweep.training.adapters.attach` does."""
        with torch.no_grad():
            for name, matrix in self.down.items():
                matrix.copy_(initial_a(seed, name, (matrix.shape[0], matrix.shape[1])))

    def update(self, name: str, rows: int, dropout: str | None) -> Update:
        """The slot's update of a module.

        Args:
            rows: number of rows of the slot.
            dropout: see `SlotRows.dropout`.
        """
        if name not in self.down:
            return Update(rows)
        dropped = None
        if dropout is not None and self.arm.dropout:
            dropped = Dropout(self.arm.dropout, f"{dropout} {name}")
        return Update(rows, self.down[name], self.up[name], self.scale, dropped)

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
        for kind, matrices in (("lora_A", self.down), ("lora_B", self.up)):
            for name, matrix in matrices.items():
                yield f"base_model.model.{name}.{kind}.weight", matrix

    def save(self, folder: Path, base_name: str) -> None:
        """Saves the adapter in PEFT's format (safetensors).

        Args:
            base_name: name of the base on the model hub.
        """
        folder.mkdir(parents=True, exist_ok=True)
        peft_config(self.arm, base_name, inference_mode=True).save_pretrained(str(folder))
        tensors = {name: matrix.detach().cpu().clone() for name, matrix in self.matrices()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        use_default_permissions(folder)


def load_slot_adapter(folder: Path, shapes: dict[str, tuple[int, int]], device: torch.device) -> SlotAdapter:
    """Loads a saved LoRA adapter.

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
    adapter, saved = SlotAdapter(arm, shapes, device), load_file(weights)
    matrices = dict(adapter.matrices())
    if {name: matrix.shape for name, matrix in matrices.items()} != {name: part.shape for name, part in saved.items()}:
        raise TrialFailed(f"the adapter in {folder} does not fit this base")
    with torch.no_grad():
        for name, matrix in matrices.items():
            matrix.copy_(saved[name])
    adapter.drop_gradients()
    return adapter


def target_modules(arm: Arm, modules: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that the arm targets. As in PEFT, a target is a full name or the end of one.

    Raises:
        ConfigurationError: a target matches no module.
    """
    missing = [target for target in arm.targets if not any(f".{name}".endswith(f".{target}") for name in modules)]
    if missing:
        raise ConfigurationError(f"lora.targets={','.join(missing)}: the model has no linear module of that name")
    return tuple(name for name in modules if any(f".{name}".endswith(f".{target}") for target in arm.targets))


def _flat_matrices(
    shapes: dict[str, tuple[int, int]], device: torch.device
) -> tuple[dict[str, nn.Parameter], nn.Parameter, torch.Tensor]:
    """Zero matrices as views of one vector, with gradients that are views of one gradient vector."""
    sizes = [rows * columns for rows, columns in shapes.values()]
    vector = nn.Parameter(torch.zeros(sum(sizes), device=device))
    gradient = torch.zeros_like(vector)
    vector.grad = gradient
    matrices = {}
    parts = zip(shapes.items(), vector.detach().split(sizes), gradient.split(sizes), strict=True)
    for (name, shape), part, gradient_part in parts:
        matrix = nn.Parameter(part.view(shape))
        matrix.grad = gradient_part.view(shape)  # backward accumulates in place
        matrices[name] = matrix
    return matrices, vector, gradient


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


class AdapterHooks:
    """Forward hooks on the base's linear modules; they do nothing outside `active`.

    Args:
        names: full names of the linear modules that adapters can target.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self._slots: tuple[SlotRows, ...] = ()
        for name in names:
            model.get_submodule(name).register_forward_hook(self._hook(name))

    @contextmanager
    def active(self, slots: Sequence[SlotRows]) -> Iterator[None]:
        """Context in which the rows of each pass belong to these slots, in this order."""
        before, self._slots = self._slots, tuple(slots)
        try:
            yield
        finally:
            self._slots = before

    def _hook(self, name: str) -> Any:
        def add(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            slots = self._slots
            if not any(slot.adapter is not None and name in slot.adapter.down for slot in slots):
                return None
            return _add_updates(name, slots, arguments[0], output)

        return add


def _add_updates(name: str, slots: Sequence[SlotRows], inputs: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    rows = inputs.numel() // inputs.shape[-1]
    tokens_per_row = rows // sum(slot.rows for slot in slots)  # 1, or the columns of an ordinary batch
    updates = [
        Update(slot.rows * tokens_per_row)
        if slot.adapter is None
        else slot.adapter.update(name, slot.rows * tokens_per_row, slot.dropout)
        for slot in slots
    ]
    return add_updates(inputs, output, updates)
