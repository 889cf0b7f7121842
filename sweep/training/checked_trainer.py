"""transformers' Trainer as the engine uses it: our order of examples, their weights, decay towards the base, and checks of each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback

from sweep.errors import StoppedEarly, TrialDiverged
from sweep.records import StepLoss, Training
from sweep.training import full
from sweep.training.adapters import adapter_parameters
from sweep.training.batches import IGNORED, row_weights
from sweep.training.decay import decay_towards, first_values
from sweep.training.encoding import Encoded
from sweep.training.gradient_check import GradientCheck
from sweep.training.rank_allocation import allocate, allocator_of, penalty

_WEIGHTS = "row_weights"
"""The name of the rows' weights among the inputs of a batch."""


def weights_of(ordered: Sequence[Encoded], recipe: Training) -> list[float] | None:
    """The weight of the losses of each example's tokens in the mean loss of its step, with replay; None without."""
    if not recipe.replay:
        return None
    size = recipe.batch_size * recipe.gradient_accumulation
    steps = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [weight for step in steps for weight in row_weights(step) or _even(step)]


def _even(step: Sequence[Encoded]) -> list[float]:
    return [1 / sum(len(item.completion) for item in step)] * len(step)


def weighing(collate: Callable[[Sequence[Encoded]], dict[str, Any]]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """The collator for examples with weights, which go beside the inputs."""

    def weighted(rows: Sequence[tuple[Encoded, float]]) -> dict[str, Any]:
        return {**collate([item for item, _ in rows]), _WEIGHTS: torch.tensor([weight for _, weight in rows])}

    return weighted


def _weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The losses of all predictions, each weighted as its row, minus their plain mean.

    Args:
        logits: shape (rows, columns, vocabulary); the last columns are those of the labels.
        labels: shape (rows, kept columns).
        weights: shape (rows,).
    """
    predicted = labels[:, 1:]
    logits = logits[:, -labels.shape[1] : -1].float()
    nats = cross_entropy(logits.transpose(1, 2), predicted, ignore_index=IGNORED, reduction="none")
    mean = 1 / (predicted != IGNORED).sum()
    return (nats * (weights[:, None] - mean)).sum()


class Decay(TrainerCallback):
    """Moves the weights towards their first values before each step of the optimizer."""

    def __init__(self, adapted: Any, decay: float) -> None:
        self._decay = decay
        self._known = {} if isinstance(adapted, PeftModel) else full.first_weights(adapted)
        self._first: Sequence[torch.Tensor] = ()

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        self._first = first_values(optimizer, self._known)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        decay_towards(self._first, optimizer, self._decay)


class OrderedExamples(Dataset[Any]):
    """The result of `training_examples` as a dataset; with replay each example with its weight."""

    def __init__(self, examples: Sequence[Encoded], weights: Sequence[float] | None) -> None:
        self._rows: Sequence[Any] = examples if weights is None else list(zip(examples, weights, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._rows[index]


class CheckedTrainer(Trainer):
    """A Trainer that stops at the first loss that is not finite.

    Attributes:
        penalties: what a step's loss holds beside the examples' (AdaLoRA's penalty), a value for each batch.
    """

    penalties: list[float]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        allocator = allocator_of(model)
        if allocator is not None:
            self.penalties.append(penalty(allocator))
        weights = inputs.pop(_WEIGHTS, None)
        if weights is None:
            return super().compute_loss(model, inputs, *args, **kwargs)
        plain, outputs = super().compute_loss(model, inputs, return_outputs=True)  # with the penalty, if there is one
        return plain + _weighted_loss(outputs.logits, inputs["labels"], weights)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not bool(torch.isfinite(loss).all()):
            raise TrialDiverged(f"diverged: the training loss was {float(loss)} at step {self.state.global_step + 1}")
        return loss


class TrainingWatch(TrainerCallback):
    """Checks gradients, and reports the loss of each step."""

    def __init__(self, on_step: Callable[[Any, StepLoss], None]) -> None:
        self.check = GradientCheck()
        self.penalties: list[float] = []
        self._on_step = on_step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.check.after_backward(adapter_parameters(model), state.global_step + 1)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        allocate(model, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            if self.penalties:
                loss -= fmean(self.penalties)
                self.penalties.clear()
            try:
                self._on_step(model, StepLoss(state.global_step, loss, float(logs.get("learning_rate", 0.0))))
            except StoppedEarly:
                control.should_training_stop = True
