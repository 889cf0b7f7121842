"""One slot's LoRA adapter: its matrices lie one after the other in two vectors, so that one fused step updates them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType
from safetensors.torch import load_file, save_file
from torch import nn

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import Arm
from sweep.training.adapters import first_weights, readable_like_others

_WEIGHTS = "adapter_model.safetensors"


class SlotAdapter:
    """A and B of every target module, zero at first.

    Attributes:
        down: A by module name, shape (rank, inputs).
        up: B by module name, shape (outputs, rank).
        vectors: all A's, then all B's, as two vectors that share their memory and their gradients' with `down` and `up`.
        scale: what the update is multiplied by, see `Arm.scale`.

    Args:
        shapes: (inputs, outputs) of each linear module of the base by full name.

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(self, arm: Arm, shapes: dict[str, tuple[int, int]], device: torch.device) -> None:
        self.arm = arm
        self.scale = arm.scale
        targets = matching(arm, tuple(shapes))
        a_shapes = {name: (arm.rank, shapes[name][0]) for name in targets}
        b_shapes = {name: (shapes[name][1], arm.rank) for name in targets}
        self.down, all_a = _in_one_vector(a_shapes, device)
        self.up, all_b = _in_one_vector(b_shapes, device)
        self.vectors = (all_a, all_b)

    def draw(self, seed: int) -> None:
        """Draws A as `sweep.training.adapters.attach` does."""
        with torch.no_grad():
            for name, matrix in self.down.items():
                matrix.copy_(first_weights(seed, name, (matrix.shape[0], matrix.shape[1])))

    def add(self, name: str, inputs: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """The module's outputs with the update: outputs + scale * inputs A^T B^T.

        Args:
            inputs: shape (tokens, inputs), dropout already applied.
            outputs: shape (tokens, outputs).
        """
        if name not in self.down:
            return outputs
        down, up = self.down[name].to(inputs.dtype), self.up[name].to(inputs.dtype)
        return torch.addmm(outputs, inputs @ down.t(), up.t(), alpha=self.scale)

    def zero_gradients(self) -> None:
        """Makes all gradients zero; they stay where they are."""
        for vector in self.vectors:
            assert vector.grad is not None
            vector.grad.zero_()

    def drop_gradients(self) -> None:
        """Frees the memory of the gradients: it is not trained any further."""
        for parameter in (*self.vectors, *self.down.values(), *self.up.values()):
            parameter.grad = None

    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(vector.numel() for vector in self.vectors)

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All matrices by PEFT's names."""
        for kind, matrices in (("lora_A", self.down), ("lora_B", self.up)):
            for name, matrix in matrices.items():
                yield f"base_model.model.{name}.{kind}.weight", matrix

    def save(self, folder: Path, base_name: str) -> None:
        """Writes the adapter in PEFT's own format (safetensors).

        Args:
            base_name: what the base is called on the model hub.
        """
        folder.mkdir(parents=True, exist_ok=True)
        config = LoraConfig(
            r=self.arm.rank,
            lora_alpha=self.arm.alpha,
            lora_dropout=self.arm.dropout,
            use_rslora=self.arm.use_rslora,
            target_modules=list(self.arm.targets),
            bias="none",
            task_type=TaskType.CAUSAL_LM,
            base_model_name_or_path=base_name,
            inference_mode=True,
        )
        config.save_pretrained(str(folder))
        tensors = {name: matrix.detach().cpu().clone() for name, matrix in self.matrices()}
        save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
        readable_like_others(folder)


def load_slot_adapter(folder: Path, shapes: dict[str, tuple[int, int]], device: torch.device) -> SlotAdapter:
    """A saved LoRA adapter.

    Raises:
        TrialFailed: the folder holds no adapter in safetensors, or one that does not fit the base.
    """
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise TrialFailed(f"the adapter to be scored is gone: {folder}")
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
    own = dict(adapter.matrices())
    if {name: matrix.shape for name, matrix in own.items()} != {name: part.shape for name, part in saved.items()}:
        raise TrialFailed(f"the adapter in {folder} does not fit this base")
    with torch.no_grad():
        for name, matrix in own.items():
            matrix.copy_(saved[name])
    adapter.drop_gradients()
    return adapter


def matching(arm: Arm, modules: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that the arm's targets name, as PEFT matches them: the whole name or its end.

    Raises:
        ConfigurationError: a target names none.
    """
    missing = [target for target in arm.targets if not any(f".{name}".endswith(f".{target}") for name in modules)]
    if missing:
        raise ConfigurationError(f"lora.targets={','.join(missing)}: the model has no linear module of that name")
    return tuple(name for name in modules if any(f".{name}".endswith(f".{target}") for target in arm.targets))


def _in_one_vector(
    shapes: dict[str, tuple[int, int]], device: torch.device
) -> tuple[dict[str, nn.Parameter], nn.Parameter]:
    sizes = [rows * columns for rows, columns in shapes.values()]
    vector = nn.Parameter(torch.zeros(sum(sizes), device=device))
    vector.grad = torch.zeros_like(vector)
    matrices = {}
    parts = zip(shapes.items(), vector.detach().split(sizes), vector.grad.split(sizes), strict=True)
    for (name, shape), part, gradient in parts:
        matrix = nn.Parameter(part.view(shape))
        matrix.grad = gradient.view(shape)  # backward adds to it in place
        matrices[name] = matrix
    return matrices, vector


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
