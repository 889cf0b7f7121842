"""`engine=packed`: trials side by side on one base (docs/engine.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted, OnStep, PackBroke, Scored, Trained
from sweep.training.forward import completion_losses
from sweep.training.memory import is_out_of_memory, release
from sweep.training.packed.adapter import SlotAdapter, load_slot_adapter
from sweep.training.packed.capacity import room_for
from sweep.training.packed.evaluator import packed_losses, packed_scores
from sweep.training.packed.pack import Pack, Slot, SlotBatch
from sweep.training.scored import AnswerRule, CompletionLoss, OnScored, Scores

SAME = 1e-3
"""Nats by which a completion's loss may differ between a packed pass and a plain one in fp32; in bf16 a hundred times this."""


@dataclass
class _Trial:
    """A slot, what is told of its steps, and the seconds they took."""

    slot: Slot
    on_step: OnStep
    seconds: float = 0.0


class PackedEngine:
    """See `sweep.training.engine.Engine`.

    Args:
        sample: a few examples on which a packed pass is held against a plain one, before anything is trained.

    Raises:
        ValueError: this model cannot be packed; the text says why.
    """

    shares_memory = True

    def __init__(self, base: LoadedBase, sample: Sequence[Encoded]) -> None:
        self._base = base
        self.pack = Pack(base)
        self._trials: list[_Trial] = []
        self._check(sample)

    def capacity(
        self, capacity_request: CapacityRequest, budget: int | None, train: Sequence[Encoded], scored: Sequence[Scored]
    ) -> SlotCapacity:
        """How many trials can be trained side by side, by the memory that they are predicted to take."""
        return room_for(self._base, self.pack, capacity_request, budget, train, scored)

    def bare(self) -> Adapted:
        """The base without an adapter."""
        return SlotAdapted(self._base, self.pack, None)

    def load(self, folder: Path) -> Adapted:
        """The base with a saved adapter."""
        return SlotAdapted(self._base, self.pack, load_slot_adapter(folder, self.pack.shapes, self._base.device))

    def score(
        self,
        adapted: Sequence[Adapted],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnScored | None = None,
    ) -> list[Scores]:
        """Losses and answers of several adapters in shared passes."""
        release()  # what training has freed lies in pieces, too small for what scoring needs
        adapters = [each.adapter for each in adapted if isinstance(each, SlotAdapted)]
        return packed_scores(self._base, self.pack, adapters, encoded, rule, on_progress)

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Takes a trial on."""
        self._trials.append(_Trial(self.pack.add(spec, examples), on_step))

    def advance(self) -> list[Trained]:
        """One step of every trial."""
        going = {id(trial.slot): trial for trial in self._trials if trial.slot.open}
        elsewhere = 0.0

        def after_step(slot: Slot, step: StepLoss) -> None:
            nonlocal elsewhere
            clock = time.perf_counter()
            try:
                going[id(slot)].on_step(SlotAdapted(self._base, self.pack, slot.adapter), step)
            finally:
                elsewhere += time.perf_counter() - clock

        clock = time.perf_counter()
        try:
            self.pack.step(after_step)
        except ConfigurationError:
            raise
        except Exception as error:
            if len(going) > 1:
                raise PackBroke(f"{type(error).__name__}: {error}") from error
            return [self._end(trial, error) for trial in going.values()]
        for trial in going.values():
            trial.seconds += (time.perf_counter() - clock - elsewhere) / len(going)
        return [self._end(trial, trial.slot.ended) for trial in list(going.values()) if not trial.slot.open]

    def _end(self, trial: _Trial, error: Exception | None) -> Trained:
        self._trials.remove(trial)
        self.pack.remove(trial.slot)
        trial.slot.adapter.drop_gradients()
        adapted = SlotAdapted(self._base, self.pack, trial.slot.adapter) if error is None else None
        return Trained(trial.slot.spec, adapted, error, trial.seconds)

    def _check(self, sample: Sequence[Encoded]) -> None:
        if not sample:
            return
        try:
            packed = self.bare().losses(sample)
        except (TypeError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(f"a packed pass fails: {type(error).__name__}: {error}") from error
        plain = completion_losses(self._base, self._base.model, sample)
        allowed = SAME if self._base.model.dtype.itemsize == 4 else 100 * SAME
        for ours, theirs in zip(packed, plain, strict=True):
            if not abs(ours.nats - theirs.nats) <= allowed * max(1.0, theirs.nats):
                raise ValueError(
                    f"a packed pass gives a loss of {ours.nats:.4f} where a plain one gives {theirs.nats:.4f}"
                )


class SlotAdapted:
    """See `sweep.training.engine.Adapted`."""

    def __init__(self, base: LoadedBase, pack: Pack, adapter: SlotAdapter | None) -> None:
        self._base = base
        self._pack = pack
        self.adapter = adapter

    @property
    def parameters(self) -> int:
        """How many numbers are trained; 0 for the bare base."""
        return self.adapter.parameters() if self.adapter is not None else 0

    @property
    def neighbour_bytes(self) -> int:
        """Adapters, gradients and optimizer states of the other slots."""
        return sum(slot.bytes for slot in self._pack.slots if slot.adapter is not self.adapter)

    def losses(
        self, encoded: Sequence[Encoded], on_progress: Callable[[int], None] | None = None
    ) -> list[CompletionLoss]:
        """The loss of each example's completion given its prompt."""
        (losses,) = packed_losses(self._base, self._pack, [self.adapter], encoded, on_progress)
        return losses

    def training_pass(self, batch: Sequence[Encoded]) -> None:
        """Forward and backward on a batch, as a training step does it; leaves no gradient."""
        assert self.adapter is not None
        tokens = sum(len(item.completion) for item in batch)
        self._pack.accumulate([SlotBatch(self.adapter, batch, tokens, dropout="probe")])
        self.adapter.zero_gradients()

    def save(self, folder: Path) -> None:
        """Writes the adapter in PEFT's own format (safetensors)."""
        if self.adapter is None:
            raise TrialFailed("the bare base has no adapter to save")
        self.adapter.save(folder, self._base.id)
        self._base.write_origin(folder)

    def release(self) -> None:
        """Nothing to do: an adapter is on the base only while it is used."""
