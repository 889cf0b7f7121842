"""How many trials a worker has room for, by the memory that they are predicted to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import ConfigurationError
from sweep.records import Arm, CapacityRequest, SlotCapacity, Training
from sweep.training.base_model import LoadedBase
from sweep.training.batches import training_examples
from sweep.training.encoding import Encoded
from sweep.training.engine import Scored
from sweep.training.memory import free_bytes, is_out_of_memory, resident_bytes
from sweep.training.packed.adapter import matching
from sweep.training.packed.memory_model import MemoryModel, PassShape, ScoringPass, parameters_of
from sweep.training.packed.memory_probe import measured_model
from sweep.training.packed.memory_work import scoring_passes, training_passes
from sweep.training.packed.pack import Pack
from sweep.training.probe import longest_batch

BEST = {"cpu": 2, "cuda": 16}
"""`engine.slots=auto`: so many trials side by side at most. On a CPU more are no faster (docs/engine.md)."""

SPARE = 0.1
"""This share of the memory there is stays free: the prediction may be wrong by as much."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The memory that trials of one arm will take.

    Attributes:
        parameters: numbers that a trial trains.
        trained: the passes of one trial's training.
        scored: what it is scored on afterwards.
    """

    model: MemoryModel
    parameters: int
    trained: frozenset[PassShape]
    scored: Sequence[Scored]

    def peak(self, slots: int) -> int:
        """Bytes at most of a worker that trains so many side by side and scores them, together or each as it ends."""
        together = {1, slots}
        scoring = (self.model.scoring_peak(slots, ended, self.parameters, self._passes(ended)) for ended in together)
        return max(self.model.training_peak(slots, self.parameters, self.trained), *scoring)

    def _passes(self, ended: int) -> list[ScoringPass]:
        return [each for examples, rule in self.scored for each in scoring_passes(examples, ended, rule)]


def forecast(
    base: LoadedBase,
    pack: Pack,
    arm: Arm,
    training: Training,
    seed: int,
    train: Sequence[Encoded],
    scored: Sequence[Scored],
) -> Forecast:
    """Measures what short passes take, and predicts from it what the trials will."""
    ordered = training_examples(train, training, seed)
    largest = longest_batch(ordered, training.batch_size)
    model = measured_model(base, pack, arm, largest, checkpointing=training.gradient_checkpointing)
    parameters = parameters_of(arm, matching(arm, tuple(pack.shapes)), pack.shapes)
    return Forecast(model, parameters, frozenset(training_passes(ordered, training)), scored)


def room_for(
    base: LoadedBase,
    pack: Pack,
    capacity_request: CapacityRequest,
    budget: int | None,
    train: Sequence[Encoded],
    scored: Sequence[Scored],
) -> SlotCapacity:
    """So many slots as were asked for, if memory allows it; one in any case.

    Args:
        budget: bytes that the worker may use, or None: what is free is divided among the workers then, if nobody has said
            how many slots there shall be.
    """
    aimed = capacity_request.slots or BEST.get(base.device.type, 1)
    if aimed == 1 or (capacity_request.slots is not None and budget is None):
        return SlotCapacity(aimed, aimed)
    limit = budget
    if limit is None:
        limit = (free_bytes(base.device) + resident_bytes(base.device)) // capacity_request.workers
    try:
        asked = forecast(
            base, pack, capacity_request.largest, capacity_request.training, capacity_request.seed, train, scored
        )
    except (
        ConfigurationError
    ):  # a module that does not exist; the parent holds the whole plan against the base and tells all
        return SlotCapacity(1, aimed, limit=limit)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return SlotCapacity(1, aimed, limit=limit)  # not even a short pass fits; a trial alone is tried all the same
    slots = aimed
    while slots > 1 and asked.peak(slots) > (1 - SPARE) * limit:
        slots -= 1
    return SlotCapacity(slots, aimed, asked.peak(slots), asked.peak(aimed), limit)
