"""Full fine-tuning: the base's own weights are trained, and put back afterwards, bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sweep.errors import TrialFailed

WEIGHTS = "model.safetensors"

_BEFORE = "weights_before_full_training"
"""The attribute of a base whose weights are not its own."""


@dataclass(frozen=True, slots=True)
class _Before:
    """What a base was like before its weights were trained.

    Attributes:
        weights: every parameter by name; tied ones once.
        forwards: the fast products of frozen weights (`frozen_weights.speed_up`), which have no gradient for the weight.
    """

    weights: dict[str, torch.Tensor]
    forwards: list[tuple[nn.Module, Callable[..., Any]]]


def begin(model: nn.Module) -> nn.Module:
    """Makes all weights of an unquantized base trainable, and keeps a copy of them; returns the base."""
    forwards = [(module, module.__dict__.pop("forward")) for module in model.modules() if "forward" in module.__dict__]
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.__dict__[_BEFORE] = _Before(weights, forwards)
    return model.requires_grad_(True)


def is_trained(model: nn.Module) -> bool:
    """Whether the base's weights are being trained, or were replaced by trained ones."""
    return _BEFORE in model.__dict__


def first_weights(model: nn.Module) -> dict[nn.Parameter, torch.Tensor]:
    """The weights that the base had before, of each parameter."""
    before: _Before = model.__dict__[_BEFORE]
    return {parameter: before.weights[name] for name, parameter in model.named_parameters()}


def end(model: nn.Module) -> nn.Module:
    """Puts the weights back that the base had before; returns the base, frozen."""
    before: _Before | None = model.__dict__.pop(_BEFORE, None)
    if before is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(before.weights[name])
                parameter.grad = None
        for module, forward in before.forwards:
            module.__dict__["forward"] = forward
    return model.requires_grad_(False)


def save(model: Any, folder: Path) -> None:
    """Saves all weights and the model's configuration, as transformers loads them; tied weights once."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(str(folder))
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "use_cache": True}, indent=2) + "\n", encoding="utf-8")
    weights = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(file.stat().st_mode)


def load(model: nn.Module, folder: Path) -> nn.Module:
    """Replaces the base's weights by saved ones until `end`; returns the base.

    Raises:
        TrialFailed: the weights are missing, or those of another model.
        SafetensorError: they are damaged.
    """
    if not (folder / WEIGHTS).is_file():
        raise TrialFailed(f"the weights are missing: {folder}")
    weights = load_file(folder / WEIGHTS)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    if shapes != {name: weight.shape for name, weight in weights.items()}:
        raise TrialFailed(f"the weights in {folder} are not those of this base")
    begin(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return model
