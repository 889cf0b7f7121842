"""What the pack needs of a slot's adapter, whatever its method: trained vectors, what they do to the slot's rows, and a file.

A method is a subclass that overrides the effects that it has; the others do nothing. The pack applies the effects of all slots in shared
passes. None of them mixes the rows of two slots, so a pass may hold slots of different methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from peft import PeftConfig
from safetensors.torch import save_file
from torch import nn

from sweep.records import Arm
from sweep.training.adapters import WEIGHTS, peft_config, use_default_permissions
from sweep.training.packed.layout import NONE_VIRTUAL, Virtual
from sweep.training.packed.updates import Dropout, Update
from sweep.training.starts import Starts

Matrices = tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]
"""A and B by module name."""


@dataclass(frozen=True, slots=True)
class Host:
    """The base, as adapters see it.

    Attributes:
        shapes: (in_features, out_features) of each linear module by full name.
        side_by_side: whether the matrices of all modules lie side by side, B transposed, so that one copy takes them to a stack
            (`sweep.training.packed.grouped`); else one after the other.
        model: the base itself; None where only its linear modules matter.
    """

    shapes: Mapping[str, tuple[int, int]]
    device: torch.device
    side_by_side: bool = False
    model: Any = None


class SlotAdapter(ABC):
    """The trained parameters of one slot. A fused optimizer step updates them as a few flat vectors.

    Attributes:
        vectors: all parameters, flattened; `matrices` are views of them, which share memory and gradients.
        names: full names of the modules with a low-rank update.
        rank: of the low-rank update.
        scale: factor of the low-rank update.
        input_factors: trained factors of the inputs of modules, by name, one for each input.
        output_factors: likewise for each output.
        virtual: the trained tokens before each sequence.

    Args:
        sizes: of the vectors, which are zero until `initialize`.
    """

    names: tuple[str, ...] = ()
    rank: int = 0
    scale: float = 1.0
    input_factors: Mapping[str, nn.Parameter] = MappingProxyType({})
    output_factors: Mapping[str, nn.Parameter] = MappingProxyType({})
    virtual: Virtual = NONE_VIRTUAL
    rate_factors: tuple[float, ...] = (1.0,)
    """The learning rate of each vector, as a multiple of the arm's."""

    def __init__(self, arm: Arm, host: Host, sizes: Sequence[int] = ()) -> None:
        self.arm = arm
        self.vectors = tuple(nn.Parameter(torch.zeros(size, device=host.device)) for size in sizes)
        self._gradients = tuple(torch.zeros_like(vector) for vector in self.vectors)
        for vector, gradient in zip(self.vectors, self._gradients, strict=True):
            vector.grad = gradient

    @staticmethod
    @abstractmethod
    def arm_of(config: Any) -> Arm:
        """The arm of a saved adapter with this configuration of PEFT, as far as it decides on what the adapter computes."""

    @abstractmethod
    def initialize(self, seed: int, starts: Starts | None = None) -> None:
        """Sets the first weights, as `sweep.training.adapters.attach` does.

        Args:
            starts: what LoRA's A and B start as with another initialization than the default.
        """

    @abstractmethod
    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the matrix, for each trained one."""

    # effects on the slot's rows

    def update(self, name: str, rows: int, dropout: str | None, matrices: Matrices) -> Update:
        """The low-rank update of a module's output.

        Args:
            rows: number of rows of the slot.
            dropout: see `SlotRows.dropout`.
            matrices: see `in_type`.
        """
        return Update(rows)

    def in_type(self, dtype: torch.dtype) -> Matrices:
        """A and B of each module with a low-rank update, cast at once if they lie side by side; else as they are."""
        return {}, {}

    def dropout(self, name: str, stream: str | None) -> Dropout | None:
        """The dropout of a module's inputs; `stream` is that of `SlotRows`."""
        return None

    def stackable(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All A, and all B transposed, side by side, shape (rank, columns of all modules); only with `names`."""
        raise NotImplementedError

    def embeddings(self) -> torch.Tensor:
        """The embeddings of `virtual.embedded` tokens, shape (tokens, width of the base)."""
        raise NotImplementedError

    def keys_and_values(self) -> Sequence[torch.Tensor]:
        """Of `virtual.given` tokens, keys and values of each layer in turn, each of shape (tokens, key heads, head_dim)."""
        raise NotImplementedError

    # memory and file

    def zero_gradients(self) -> None:
        """Sets all gradients to zero in place."""
        for gradient in self._gradients:
            gradient.zero_()

    def drop_gradients(self) -> None:
        """Frees the memory of the gradients; the adapter cannot be trained any more."""
        self._gradients = ()
        for parameter in (*self.vectors, *(matrix for _, matrix in self.matrices())):
            parameter.grad = None

    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(vector.numel() for vector in self.vectors)

    def constants(self) -> int:
        """Number of parameters that are not trained, but lie beside the trained ones in each pass."""
        return 0

    @property
    def bytes(self) -> int:
        """Memory of the parameters, their gradients and AdamW's two moments."""
        return 4 * sum(vector.nbytes for vector in self.vectors) + 4 * self.constants()

    def stored(self) -> dict[str, torch.Tensor]:
        """The weights in the adapter's file, by PEFT's name."""
        return dict(self.matrices())

    def peft_config(self, base_name: str) -> PeftConfig:
        """PEFT's configuration of the adapter, for its file."""
        return peft_config(self.arm, base_name, inference_mode=True)

    def save(self, folder: Path, base_name: str) -> None:
        """Saves the adapter in PEFT's format (safetensors).

        Args:
            base_name: name of the base on the model hub.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.peft_config(base_name).save_pretrained(str(folder))
        tensors = {name: matrix.detach().cpu().contiguous().clone() for name, matrix in self.stored().items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        use_default_permissions(folder)


def with_gradient(matrix: torch.Tensor, gradient: torch.Tensor) -> nn.Parameter:
    """A parameter whose gradient is added to `gradient` in place."""
    parameter = nn.Parameter(matrix)
    parameter.grad = gradient
    return parameter
