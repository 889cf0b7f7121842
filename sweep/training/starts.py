"""A and B that start elsewhere than by default, in a PEFT model; and the subtraction of their initial product.

PiSSA and OLoRA start from parts of the base's weight W. As published, the base becomes W - s B0 A0. The base is shared here and stays
as it is, so the update is s (B A - B0 A0) instead: the same function, and one that also fits a quantized W. It is an update of twice the
rank, [B, -B0] [A; A0], of which the half that stays fixed is a constant of the training. As such it is stored: a plain LoRA adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional

from sweep.methods.initialization import doubled_alpha

_ADAPTER = "default"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, slots=True)
class Start:
    """What a module's A and B start as.

    Attributes:
        down: A, shape (rank, in_features).
        up: B, shape (out_features, rank).
    """

    down: torch.Tensor
    up: torch.Tensor


Starts = Mapping[str, Start]
"""By full name of the module in the base; empty for the default, which engines draw themselves."""


def both(down: torch.Tensor, up: torch.Tensor, start: Start) -> tuple[torch.Tensor, torch.Tensor]:
    """[A; A0] and [B, -B0], whose product is B A - B0 A0."""
    return torch.cat([down, start.down.to(down)]), torch.cat([up, -start.up.to(up)], dim=1)


def begin_at(adapted: nn.Module, starts: Starts, *, subtracted: bool) -> None:
    """Sets A and B of a PEFT model with LoRA, and subtracts their initial product where that is asked for.

    DoRA's magnitudes become those of the weights with the initial product, if it is not subtracted.
    """
    for name, layer in _lora_layers(adapted):
        start = starts[name.removeprefix("base_model.model.")]
        down, up = layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]
        with torch.no_grad():
            down.weight.copy_(start.down)
            up.weight.copy_(start.up)
        if subtracted:
            layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER] = _BesideInitial(down), _MinusInitial(up)
        elif _ADAPTER in layer.lora_magnitude_vector:
            layer.lora_magnitude_vector[_ADAPTER].update_layer(
                base_layer=layer.get_base_layer(),
                lora_A=down.weight,
                lora_B=up.weight,
                scaling=layer.scaling[_ADAPTER],
            )


def has_initial_product(adapted: nn.Module) -> bool:
    """Whether a PEFT model subtracts its initial product."""
    return any(isinstance(module, _BesideInitial) for module in adapted.modules())


def with_initial_product(
    adapted: nn.Module, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """PEFT's configuration and weights of the plain adapter that a model with a subtracted initial product computes.

    Args:
        config, weights: as PEFT saves those of the model.
    """
    plain = dict(weights)
    for name, layer in _lora_layers(adapted):
        down, up = layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]
        if isinstance(down, _BesideInitial) and isinstance(up, _MinusInitial):
            start = Start(down.initial.cpu(), up.initial.cpu())
            plain[f"{name}{_DOWN}"], plain[f"{name}{_UP}"] = both(
                weights[f"{name}{_DOWN}"], weights[f"{name}{_UP}"], start
            )
    alpha = doubled_alpha(config["lora_alpha"], rank_stabilized=bool(config["use_rslora"]))
    return {**config, "r": 2 * config["r"], "lora_alpha": alpha}, plain


class _Fixed(nn.Linear):
    """A or B, with its initial value as a constant beside it.

    Attributes:
        initial: the initial weight, which is not trained.
    """

    initial: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.register_buffer("initial", linear.weight.detach().clone(), persistent=False)


class _BesideInitial(_Fixed):
    """Gives A x and A0 x side by side."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.linear(inputs, torch.cat([self.weight, self.initial]))


class _MinusInitial(_Fixed):
    """Gives B h - B0 h0 for h and h0 side by side."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.linear(hidden, torch.cat([self.weight, -self.initial], dim=1))


def _lora_layers(adapted: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in adapted.named_modules():
        if isinstance(module, LoraLayer) and _ADAPTER in module.lora_A:
            yield name, module
