"""What an engine is: it trains the adapters of one or several trials on one base, and hands them over to be scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sweep.records import CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.encoding import Encoded
from sweep.training.scored import AnswerRule, CompletionLoss, OnScored, Scores

if TYPE_CHECKING:
    from sweep.training.base_model import LoadedBase


class Adapted(Protocol):
    """The base with one adapter on, or bare."""

    @property
    def parameters(self) -> int:
        """How many numbers are trained; 0 for the bare base."""

    @property
    def neighbour_bytes(self) -> int:
        """Memory that other trials of the same process hold at this moment."""

    def losses(
        self, encoded: Sequence[Encoded], on_progress: Callable[[int], None] | None = None
    ) -> list[CompletionLoss]:
        """The loss of each example's completion given its prompt.

        Args:
            on_progress: told how many examples are done.
        """

    def training_pass(self, batch: Sequence[Encoded]) -> None:
        """Forward and backward on a batch, as a training step does it; leaves no gradient."""

    def save(self, folder: Path) -> None:
        """Writes the adapter in PEFT's own format (safetensors)."""

    def release(self) -> None:
        """Takes the adapter off; the base is as it was."""


OnStep = Callable[[Adapted, StepLoss], None]
"""Called after each optimizer step; may raise `TrialEnded` to end the trial's training."""


Scored = tuple[Sequence[Encoded], AnswerRule | None]
"""Examples that a trial is scored on, and how they are answered."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trial whose training is over.

    Attributes:
        adapted: the trained adapter on its base; None if the training broke off.
        error: why it broke off.
        seconds: what its training took; trials that were trained side by side share the time of their steps. What
            `on_step` took is not in it.
    """

    spec: TrialSpec
    adapted: Adapted | None
    error: Exception | None
    seconds: float


class Engine(Protocol):
    """Trains trials. Whatever the engine, a trial's losses and adapter are the same up to rounding."""

    @property
    def shares_memory(self) -> bool:
        """Whether several trials are in memory at the same time, so that a peak is not one trial's own."""

    def capacity(
        self, capacity_request: CapacityRequest, budget: int | None, train: Sequence[Encoded], scored: Sequence[Scored]
    ) -> SlotCapacity:
        """How many trials can be trained side by side.

        Args:
            budget: bytes that the process may use, or None for what is free.
            train: the examples that trials are trained on.
            scored: what they are scored on.
        """

    def bare(self) -> Adapted:
        """The base without an adapter."""

    def load(self, folder: Path) -> Adapted:
        """The base with a saved adapter.

        Raises:
            TrialFailed: the folder holds no adapter in safetensors.
        """

    def score(
        self,
        adapted: Sequence[Adapted],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnScored | None = None,
    ) -> list[Scores]:
        """Losses and, by a rule, answers of several adapters, in shared passes where the engine can.

        Args:
            adapted: this engine's own, at least one.
            rule: how answers come about, or None to ask for none.
        """

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Takes a trial on.

        Raises:
            ConfigurationError: a target module does not exist.
        """

    def advance(self) -> list[Trained]:
        """Trains a bit further; returns the trials whose training is over.

        Raises:
            PackBroke: several trials were in training, and it cannot be said which of them broke the engine.
        """


class PackBroke(Exception):
    """Several trials were in training when something broke, memory ran out for example; none of them is to blame yet."""


def open_engine(name: str, base: LoadedBase, sample: Sequence[Encoded]) -> tuple[Engine, str | None]:
    """The engine, and why it is not the one that was asked for, if it is not.

    Args:
        name: `packed` or `trainer`.
        sample: a few examples on which packing is tried.
    """
    from sweep.training.packed.engine import PackedEngine
    from sweep.training.trainer_engine import TrainerEngine

    if name == "packed":
        try:
            return PackedEngine(base, sample), None
        except ValueError as error:
            return TrainerEngine(base), f"engine=packed cannot train this model ({error}); engine=trainer does"
    return TrainerEngine(base), None
