"""IA3 in the pack: a trained factor for each output of a target module, or for each input of one that ends a feed-forward block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sweep.methods import TrainingFacts, method_of
from sweep.records import Arm
from sweep.training.adapters import target_modules
from sweep.training.packed.adapter import Host, SlotAdapter, with_gradient
from sweep.training.starts import Starts


class Ia3Adapter(SlotAdapter):
    """The factors of one slot, in one vector.

    Attributes:
        input_factors: factors of the inputs by module name, shape (1, in_features).
        output_factors: factors of the outputs by module name, shape (out_features, 1).

    Raises:
        ConfigurationError: a target module does not exist.
    """

    def __init__(self, arm: Arm, host: Host) -> None:
        targets = target_modules(arm, tuple(host.shapes))
        ends = method_of(arm).settings(arm, TrainingFacts())["feedforward_modules"]
        scales_inputs = [any(f".{name}".endswith(f".{end}") for end in ends) for name in targets]
        sizes = [host.shapes[name][0 if inputs else 1] for name, inputs in zip(targets, scales_inputs, strict=True)]
        super().__init__(arm, host, [sum(sizes)])
        self._factors = {
            name: with_gradient(*(vector.view(shape) for vector in own))
            for name, shape, own in zip(
                targets,
                [(1, size) if inputs else (size, 1) for size, inputs in zip(sizes, scales_inputs, strict=True)],
                zip(self.vectors[0].detach().split(sizes), self._gradients[0].split(sizes), strict=True),
                strict=True,
            )
        }
        self.input_factors = {
            name: self._factors[name] for name, inputs in zip(targets, scales_inputs, strict=True) if inputs
        }
        self.output_factors = {name: own for name, own in self._factors.items() if name not in self.input_factors}

    @staticmethod
    def arm_of(config: Any) -> Arm:
        """See `SlotAdapter.arm_of`."""
        return Arm(0, 0.0, 0.0, tuple(sorted(config.target_modules or ())), 0.0, "ia3")

    def initialize(self, seed: int, starts: Starts | None = None) -> None:
        """Sets all factors to one, which changes nothing."""
        with torch.no_grad():
            self.vectors[0].fill_(1.0)

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the factors of each module."""
        for name, factor in self._factors.items():
            yield f"base_model.model.{name}.ia3_l", factor
