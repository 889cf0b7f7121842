"""Base and adapter as PEFT and transformers run them, one adapter at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sweep.training.adapters import adapter_parameters, detach, save_adapter, trainable_parameters
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Weights
from sweep.training.forward import completion_losses, plain_answers
from sweep.training.full import is_trained
from sweep.training.losses_and_answers import AnswerRule, CompletionLoss


class PeftAdaptedModel:
    """Base and adapter as a PEFT model; see `sweep.training.engine.AdaptedModel`.

    Args:
        model: the base model, or a PEFT model around it.
    """

    neighbour_bytes = 0

    def __init__(self, base: LoadedBase, model: Any) -> None:
        self.model = model
        self._base = base

    @property
    def parameters(self) -> int:
        """Number of trainable parameters; 0 without an adapter."""
        return trainable_parameters(self.model)

    def losses(
        self,
        encoded: Sequence[Encoded],
        on_progress: Callable[[int], None] | None = None,
        first_tokens: Sequence[int] = (),
    ) -> list[CompletionLoss]:
        """The loss of each completion given its prompt; see `sweep.training.forward.completion_losses`."""
        return completion_losses(self._base, self.model, encoded, on_progress, first_tokens)

    def answers(
        self,
        encoded: Sequence[Encoded],
        losses: Sequence[CompletionLoss],
        rule: AnswerRule,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[str]:
        """The answers; see `sweep.training.forward.plain_answers`."""
        return plain_answers(self._base, self.model, encoded, losses, rule, on_progress)

    def training_pass(self, batch: Sequence[Encoded]) -> None:
        """Runs forward and backward on a batch, as a training step does, and discards the gradients."""
        device = self._base.device
        inputs = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value
            for key, value in self._base.collator_for(self.model)(batch).items()
        }
        self.model(**inputs).loss.backward()
        for _, parameter in adapter_parameters(self.model):
            parameter.grad = None

    def copy_weights(self) -> Weights:
        """A copy of the trained weights, in the host's memory."""
        return [parameter.detach().to("cpu", copy=True) for _, parameter in adapter_parameters(self.model)]

    def restore_weights(self, weights: Weights) -> None:
        """Puts the weights back that `copy_weights` copied earlier in the same training."""
        with torch.no_grad():
            for (_, parameter), kept in zip(adapter_parameters(self.model), weights, strict=True):
                parameter.copy_(kept)

    def save(self, folder: Path) -> None:
        """Saves the adapter in PEFT's format (safetensors)."""
        save_adapter(self.model, folder, self._base.id)
        self._base.write_origin(folder)

    def release(self) -> None:
        """Removes the adapter from the base."""
        if self.model is not self._base.model or is_trained(self.model):
            detach(self.model)
