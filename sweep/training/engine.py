"""The interface of engines, which train and evaluate adapters on one base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from sweep.records import Arm, CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.encoding import Encoded
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, CompletionLoss, OnEvaluated

Weights = Sequence[torch.Tensor]
"""Every trained tensor of an adapter (of full fine-tuning, of the model), in the engine's own order."""


class AdaptedModel(Protocol):
    """The base model with one adapter, or without any."""

    @property
    def parameters(self) -> int:
        """Number of trainable parameters; 0 without an adapter."""

    @property
    def neighbour_bytes(self) -> int:
        """Bytes of memory that other trials of this process use."""

    def losses(
        self, encoded: Sequence[Encoded], on_progress: Callable[[int], None] | None = None
    ) -> list[CompletionLoss]:
        """The loss of each completion given its prompt.

        Args:
            on_progress: receives the number of examples done.
        """

    def training_pass(self, batch: Sequence[Encoded]) -> None:
        """Runs forward and backward on a batch, as a training step does, and discards the gradients."""

    def copy_weights(self) -> Weights:
        """A copy of the trained weights, in the host's memory."""

    def restore_weights(self, weights: Weights) -> None:
        """Puts the weights back that `copy_weights` copied earlier in the same training."""

    def save(self, folder: Path) -> None:
        """Saves the adapter in PEFT's format (safetensors)."""

    def release(self) -> None:
        """Removes the adapter from the base."""


OnStep = Callable[[AdaptedModel, StepLoss], None]
"""Called after each optimizer step; may raise `TrialEnded` to end the training of the trial, which then has failed unless it is
`StoppedEarly`."""

EvaluationExamples = tuple[Sequence[Encoded], AnswerRule | None]
"""Examples to evaluate, and how to answer them; None for losses only."""


@dataclass(frozen=True, slots=True)
class TrainedTrial:
    """A trial after its training.

    Attributes:
        adapted: the trained adapter on its base; None if training failed.
        error: why training failed, or None.
        seconds: training time without `on_step`; trials trained side by side share the time of a step equally.
    """

    spec: TrialSpec
    adapted: AdaptedModel | None
    error: Exception | None
    seconds: float


class Engine(Protocol):
    """Trains and evaluates trials. A trial's losses and adapter do not depend on the engine, up to rounding.

    Attributes:
        auto_checkpointing: whether trials that leave it open (`Training.gradient_checkpointing`) use gradient checkpointing.
    """

    auto_checkpointing: bool

    @property
    def shares_memory(self) -> bool:
        """Whether several trials are in memory at a time, so that the process peak is not that of one trial."""

    def for_arm(self, arm: Arm | None) -> Engine:
        """The engine that trains and loads this arm: this one, or another one on the same base."""

    def capacity(
        self,
        capacity_request: CapacityRequest,
        budget: int | None,
        train: Sequence[Encoded],
        evaluated: Sequence[EvaluationExamples],
    ) -> SlotCapacity:
        """Number of trials that can be trained side by side.

        Args:
            budget: bytes that the process may use, or None for all free memory.
            train: training examples.
            evaluated: everything that a trial is evaluated on.
        """

    def bare(self) -> AdaptedModel:
        """The base model without an adapter."""

    def load(self, folder: Path) -> AdaptedModel:
        """The base model with a saved adapter.

        Raises:
            TrialFailed: the folder has no adapter in safetensors format.
        """

    def evaluate(
        self,
        adapted: Sequence[AdaptedModel],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        """Losses and answers of several adapters, in shared passes if the engine supports them.

        Args:
            adapted: at least one, of this engine.
            rule: how to answer, or None for losses only.
        """

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Adds a trial to the training.

        Raises:
            ConfigurationError: a target module does not exist.
        """

    def advance(self) -> list[TrainedTrial]:
        """Continues training; returns the trials whose training ended.

        Raises:
            PackBroke: the engine failed with several trials in training, and the cause is unknown.
            RuntimeError: the device failed, see `device_errors.is_device_failure`; this process cannot go on.
        """


class PackBroke(Exception):
    """An error with several trials in training, such as out of memory; any of them may be the cause."""
