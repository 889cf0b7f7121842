"""The singular values of each module's update, from a stored LoRA adapter; without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModuleUpdate:
    """The update s B A of one module.

    Attributes:
        name: full name of the module in the base.
        width: in_features + out_features: the parameters that one rank takes.
        squares: its squared singular values, descending; their sum is the squared Frobenius norm, here called energy.
    """

    name: str
    width: int
    squares: tuple[float, ...]

    @property
    def energy(self) -> float:
        """The squared norm of the update."""
        return sum(self.squares)

    def kept(self, rank: int) -> float:
        """The energy of its best approximation of a rank (Eckart and Young 1936)."""
        return sum(self.squares[:rank])

    def rank_for(self, share: float) -> int:
        """The smallest rank that keeps this share of the energy, at least 1."""
        wanted, kept = share * self.energy, 0.0
        for rank, square in enumerate(self.squares, 1):
            kept += square
            if kept >= wanted:
                return rank
        return max(1, len(self.squares))


def module_updates(folder: Path) -> tuple[ModuleUpdate, ...]:
    """The updates of an adapter in PEFT's format whose modules share one rank and one alpha, by name.

    Raises:
        OSError, ValueError, KeyError: the files are missing or of another kind.
    """
    from safetensors.numpy import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "adapter_model.safetensors")
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    names = sorted(name.removesuffix(_A) for name in weights if name.endswith(_A))
    return tuple(_update(name, weights[f"{name}{_A}"], weights[f"{name}{_B}"], scale) for name in names)


def _update(name: str, down: Array, up: Array, scale: float) -> ModuleUpdate:
    squares = squared_singular_values(np.asarray(down, dtype=float), np.asarray(up, dtype=float))
    return ModuleUpdate(
        name.removeprefix(_PREFIX), down.shape[1] + up.shape[0], tuple(float(scale**2 * square) for square in squares)
    )


def squared_singular_values(down: Array, up: Array) -> Array:
    """Those of up @ down, descending: the eigenvalues of an R x R matrix, whatever the widths.

    Args:
        down: A, shape (R, in_features).
        up: B, shape (out_features, R).
    """
    values, vectors = np.linalg.eigh(up.T @ up)
    root = vectors * np.sqrt(np.clip(values, 0, None))  # B^T B = root root^T
    squares: Array = np.linalg.eigvalsh(root.T @ (down @ down.T) @ root)[::-1]
    return np.clip(squares, 0, None)
