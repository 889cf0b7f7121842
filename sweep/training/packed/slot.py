"""A trial in the pack: its adapter, data order, schedule and optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import AdamW

from sweep.errors import TrialEnded
from sweep.records import TrialSpec
from sweep.training.decay import decay_towards
from sweep.training.encoding import Encoded
from sweep.training.gradient_check import GradientCheck
from sweep.training.packed.adapter import SlotAdapter


@dataclass
class Slot:
    """One trial in the pack.

    Attributes:
        ordered: the training examples in training order.
        step: number of optimizer steps taken.
        ended: why training stopped early, or None; the other slots continue.
        first: with `train.decay_to_base`, the first weights, towards which they decay; else empty.
    """

    spec: TrialSpec
    adapter: SlotAdapter
    ordered: Sequence[Encoded]
    optimizer: AdamW
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0
    ended: TrialEnded | None = None
    gradient_check: GradientCheck = field(default_factory=GradientCheck)
    first: Sequence[torch.Tensor] = ()

    @property
    def is_training(self) -> bool:
        """Whether the trial has steps left."""
        return self.ended is None and self.step < self.spec.training.steps

    @property
    def bytes(self) -> int:
        """Memory of the adapter, its gradients and AdamW's two moments."""
        return self.adapter.bytes

    def next_batches(self) -> list[Sequence[Encoded]]:
        """The batches of the next step, one per gradient accumulation."""
        recipe = self.spec.training
        size = recipe.batch_size
        first = self.step * recipe.gradient_accumulation
        return [
            self.ordered[number * size : (number + 1) * size]
            for number in range(first, first + recipe.gradient_accumulation)
        ]

    def decay(self) -> None:
        """Moves the weights towards their first ones, as the next optimizer step asks for (`train.decay_to_base`)."""
        if self.first:
            decay_towards(self.first, self.optimizer, self.spec.training.decay_to_base)

    def dropout_stream(self, number: int) -> str:
        """Name of the random stream of dropout in a pass of the next step."""
        return f"{self.spec.seed} step {self.step} pass {number}"


@dataclass(frozen=True, slots=True)
class SlotBatch:
    """The batch of one slot in one pass.

    Attributes:
        tokens: completion tokens of the slot's whole step; its loss is the mean over these.
        weights: of each example, the weight of the losses of its tokens instead of 1 / `tokens`; see `batches.row_weights`.
        dropout: see `SlotRows.dropout`.
    """

    adapter: SlotAdapter
    batch: Sequence[Encoded]
    tokens: int
    dropout: str | None = None
    weights: Sequence[float] | None = None


def adamw_of(adapter: SlotAdapter, weight_decay: float) -> AdamW:
    """AdamW for the adapter's vectors; with LoRA+, B has its own learning rate. The rate of the first is the reported one."""
    rate = adapter.arm.learning_rate
    if set(adapter.rate_factors) == {1.0}:
        return AdamW(adapter.vectors, lr=rate, weight_decay=weight_decay, fused=True)
    groups: list[dict[str, Any]] = [
        {"params": [vector], "lr": rate * factor}
        for vector, factor in zip(adapter.vectors, adapter.rate_factors, strict=True)
    ]
    return AdamW(groups, lr=rate, weight_decay=weight_decay, fused=True)
