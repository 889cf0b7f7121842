"""`engine=packed`: trials side by side on one base (docs/engine.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sweep.errors import ConfigurationError, StoppedEarly, TrialFailed
from sweep.records import Arm, CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.device_errors import forget_tensors, is_device_failure, is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, EvaluationExamples, OnStep, PackBroke, TrainedTrial, Weights
from sweep.training.forward import completion_losses
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, CompletionLoss, OnEvaluated
from sweep.training.memory import release
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.evaluator import evaluate, packed_losses
from sweep.training.packed.memory.capacity import slot_capacity
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot, SlotBatch

TOLERANCE = 1e-3
"""Nats by which a completion's loss in a packed pass may differ from a plain pass in fp32; 100 times as much in bf16."""


@dataclass
class _SlotTrial:
    """A slot, its callback, and its training time so far."""

    slot: Slot
    on_step: OnStep
    seconds: float = 0.0


class PackedEngine:
    """Trains trials side by side; see `sweep.training.engine.Engine`.

    Args:
        sample: a few examples; a packed pass over them is compared with a plain one.

    Raises:
        ValueError: the model cannot be packed; the text says why.
    """

    shares_memory = True

    def __init__(self, base: LoadedBase, sample: Sequence[Encoded]) -> None:
        self._base = base
        self.pack = Pack(base)
        self._trials: list[_SlotTrial] = []
        self._check(sample)

    @property
    def auto_checkpointing(self) -> bool:
        """See `sweep.training.engine.Engine`."""
        return self.pack.auto_checkpointing

    @auto_checkpointing.setter
    def auto_checkpointing(self, wanted: bool) -> None:
        self.pack.auto_checkpointing = wanted

    def for_arm(self, arm: Arm | None) -> PackedEngine:
        """This engine."""
        return self

    def capacity(
        self,
        capacity_request: CapacityRequest,
        budget: int | None,
        train: Sequence[Encoded],
        evaluated: Sequence[EvaluationExamples],
    ) -> SlotCapacity:
        """Number of trials that can be trained side by side, by their predicted memory."""
        return slot_capacity(self._base, self.pack, capacity_request, budget, train, evaluated)

    def bare(self) -> AdaptedModel:
        """The base model without an adapter."""
        return SlotAdaptedModel(self._base, self.pack, None)

    def load(self, folder: Path) -> AdaptedModel:
        """The base model with a saved adapter."""
        return SlotAdaptedModel(self._base, self.pack, self.pack.load(folder))

    def evaluate(
        self,
        adapted: Sequence[AdaptedModel],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        """Losses and answers of several adapters in shared passes."""
        release()  # memory freed by training is fragmented, too small for evaluation passes
        adapters = [each.adapter for each in adapted if isinstance(each, SlotAdaptedModel)]
        return evaluate(self._base, self.pack, adapters, encoded, rule, on_progress)

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Adds a trial to the pack."""
        self._trials.append(_SlotTrial(self.pack.add(spec, examples), on_step))

    def advance(self) -> list[TrainedTrial]:
        """Takes one step of every trial."""
        training = {id(trial.slot): trial for trial in self._trials if trial.slot.is_training}
        callback_seconds = 0.0

        def after_step(slot: Slot, step: StepLoss) -> None:
            nonlocal callback_seconds
            start = time.perf_counter()
            try:
                training[id(slot)].on_step(SlotAdaptedModel(self._base, self.pack, slot.adapter), step)
            finally:
                callback_seconds += time.perf_counter() - start

        failure: Exception | None = None
        start = time.perf_counter()
        try:
            self.pack.step(after_step)
        except ConfigurationError:
            raise
        except Exception as error:
            if is_device_failure(error):
                raise
            if len(training) > 1:
                raise PackBroke(f"{type(error).__name__}: {error}") from error
            forget_tensors(error)  # it is kept while other trials are evaluated
            failure = error
        if failure is not None:
            release()  # nodes of the pass's graph refer to each other
            return [self._end(trial, failure) for trial in training.values()]
        for trial in training.values():
            trial.seconds += (time.perf_counter() - start - callback_seconds) / len(training)
        ended = [trial for trial in training.values() if not trial.slot.is_training]
        return [self._end(trial, None if isinstance(end := trial.slot.ended, StoppedEarly) else end) for trial in ended]

    def _end(self, trial: _SlotTrial, error: Exception | None) -> TrainedTrial:
        self._trials.remove(trial)
        self.pack.remove(trial.slot)
        trial.slot.adapter.drop_gradients()
        adapted = SlotAdaptedModel(self._base, self.pack, trial.slot.adapter) if error is None else None
        return TrainedTrial(trial.slot.spec, adapted, error, trial.seconds)

    def _check(self, sample: Sequence[Encoded]) -> None:
        if not sample:
            return
        try:
            packed = self.bare().losses(sample)
        except (TypeError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error) or is_device_failure(error):  # of the machine, not of the model
                raise
            raise ValueError(f"a packed pass fails: {type(error).__name__}: {error}") from error
        plain = completion_losses(self._base, self._base.model, sample)
        tolerance = TOLERANCE if self._base.compute.itemsize == 4 else 100 * TOLERANCE
        for ours, reference in zip(packed, plain, strict=True):
            if not abs(ours.nats - reference.nats) <= tolerance * max(1.0, reference.nats):
                raise ValueError(
                    f"a packed pass gives a loss of {ours.nats:.4f} where a plain one gives {reference.nats:.4f}"
                )


class SlotAdaptedModel:
    """Base and adapter of a slot; see `sweep.training.engine.AdaptedModel`."""

    def __init__(self, base: LoadedBase, pack: Pack, adapter: SlotAdapter | None) -> None:
        self._base = base
        self._pack = pack
        self.adapter = adapter

    @property
    def parameters(self) -> int:
        """Number of trainable parameters; 0 without an adapter."""
        return self.adapter.parameters() if self.adapter is not None else 0

    @property
    def neighbour_bytes(self) -> int:
        """Bytes of the adapters, gradients and optimizer states of other slots."""
        return sum(slot.bytes for slot in self._pack.slots if slot.adapter is not self.adapter)

    def losses(
        self, encoded: Sequence[Encoded], on_progress: Callable[[int], None] | None = None
    ) -> list[CompletionLoss]:
        """The loss of each completion given its prompt."""
        (losses,) = packed_losses(self._base, self._pack, [self.adapter], encoded, on_progress)
        return losses

    def training_pass(self, batch: Sequence[Encoded]) -> None:
        """Runs forward and backward on a batch, as a training step does, and discards the gradients."""
        adapter = self._own_adapter()
        tokens = sum(len(item.completion) for item in batch)
        self._pack.accumulate([SlotBatch(adapter, batch, tokens, dropout="probe")])
        adapter.zero_gradients()

    def copy_weights(self) -> Weights:
        """A copy of the trained weights, in the host's memory."""
        return [vector.detach().to("cpu", copy=True) for vector in self._own_adapter().vectors]

    def restore_weights(self, weights: Weights) -> None:
        """Puts the weights back that `copy_weights` copied earlier in the same training."""
        with torch.no_grad():
            for vector, kept in zip(self._own_adapter().vectors, weights, strict=True):
                vector.copy_(kept)

    def save(self, folder: Path) -> None:
        """Saves the adapter in PEFT's format (safetensors)."""
        self._own_adapter().save(folder, self._base.id)
        self._base.write_origin(folder)

    def release(self) -> None:
        """Does nothing: the adapter is on the base during passes only."""

    def _own_adapter(self) -> SlotAdapter:
        if self.adapter is None:
            raise TrialFailed("the base model has no adapter")
        return self.adapter
