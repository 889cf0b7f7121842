"""`engine=packed` beside `engine=trainer` on one base: each method is trained by the engine that takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.methods import trains_packed
from sweep.records import Arm, CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, Engine, EvaluationExamples, OnStep, TrainedTrial
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, OnEvaluated
from sweep.training.peft_model import PeftAdaptedModel


class EngineByMethod:
    """Trains packed methods side by side, and others one at a time meanwhile; see `sweep.training.engine.Engine`.

    While PEFT has an adapter on the base, no packed pass may run. So a trial of the Trainer engine is trained to its end at once, the
    pack waits, and `advance` returns it alone, to be evaluated and released.

    Args:
        packed: the packed engine.
        open_trainer: opens the Trainer engine, once it is needed: its imports take a second.
    """

    shares_memory = True

    def __init__(self, packed: Engine, open_trainer: Callable[[], Engine]) -> None:
        self._packed = packed
        self._open_trainer = open_trainer
        self._trainer: Engine | None = None
        self._alone = 0
        self._auto_checkpointing = packed.auto_checkpointing

    @property
    def auto_checkpointing(self) -> bool:
        """See `sweep.training.engine.Engine`."""
        return self._auto_checkpointing

    @auto_checkpointing.setter
    def auto_checkpointing(self, wanted: bool) -> None:
        self._auto_checkpointing = self._packed.auto_checkpointing = wanted
        if self._trainer is not None:
            self._trainer.auto_checkpointing = wanted

    def for_arm(self, arm: Arm | None) -> Engine:
        """The engine that trains and loads this arm; the bare base is the packed engine's."""
        if arm is None or trains_packed(arm):
            return self._packed
        if self._trainer is None:
            self._trainer = self._open_trainer()
            self._trainer.auto_checkpointing = self._auto_checkpointing
        return self._trainer

    def capacity(
        self,
        capacity_request: CapacityRequest,
        budget: int | None,
        train: Sequence[Encoded],
        evaluated: Sequence[EvaluationExamples],
    ) -> SlotCapacity:
        """Number of packed trials that can be trained side by side."""
        return self._packed.capacity(capacity_request, budget, train, evaluated)

    def bare(self) -> AdaptedModel:
        """The base model without an adapter."""
        return self._packed.bare()

    def load(self, folder: Path) -> AdaptedModel:
        """The base model with a saved adapter of a packed method; others are loaded by the engine that `for_arm` returns."""
        return self._packed.load(folder)

    def evaluate(
        self,
        adapted: Sequence[AdaptedModel],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        """Losses and answers of packed adapters in shared passes, or of the one adapter that PEFT has on the base."""
        peft = any(isinstance(each, PeftAdaptedModel) for each in adapted)
        if peft and len(adapted) > 1:
            raise ValueError("an adapter that PEFT has on the base is evaluated alone")
        engine = self._trainer if peft and self._trainer is not None else self._packed
        return engine.evaluate(adapted, encoded, rule, on_progress)

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Adds a trial to the pack, or to the queue of those that are trained alone."""
        engine = self.for_arm(spec.arm)
        if engine is self._packed:
            engine.begin(spec, examples, on_step)
            return
        engine.begin(spec, examples, self._beside_the_pack(on_step))
        self._alone += 1

    def advance(self) -> list[TrainedTrial]:
        """Trains the next trial of the Trainer engine to its end, or takes one step of the pack."""
        if self._trainer is None or not self._alone:
            return self._packed.advance()
        self._alone -= 1
        return self._trainer.advance()

    def _beside_the_pack(self, on_step: OnStep) -> OnStep:
        """The callback for a model whose process also holds the pack's trials."""

        def on_own_step(adapted: AdaptedModel, step: StepLoss) -> None:
            if isinstance(adapted, PeftAdaptedModel):
                adapted.neighbour_bytes = self._packed.bare().neighbour_bytes
            on_step(adapted, step)

        return on_own_step
