"""The number of trials that a worker trains side by side: predicted from the memory of a few short passes, which are measured
after the base is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from sweep.config.devices import SLOTS
from sweep.errors import ConfigurationError
from sweep.methods import trains_packed
from sweep.records import Arm, CapacityRequest, SlotCapacity, Training
from sweep.training.base_model import LoadedBase
from sweep.training.batches import longest_batch, training_examples
from sweep.training.device_errors import is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.engine import EvaluationExamples
from sweep.training.machine import device_name
from sweep.training.memory import free_bytes, release
from sweep.training.packed.evaluation_sizes import ON_A_CPU, EvaluationSizes, evaluation_sizes
from sweep.training.packed.layout import NONE_VIRTUAL, Virtual
from sweep.training.packed.memory.estimate import estimated_training, widths_of
from sweep.training.packed.memory.model import (
    EvaluationPass,
    MemoryModel,
    PassShape,
    evaluation_passes,
    shape_of,
    training_passes,
)
from sweep.training.packed.memory.probes import held_bytes, measure_memory_model, model_sizes
from sweep.training.packed.memory.timing import fastest, measured_timings
from sweep.training.packed.pack import Pack

DEFAULT_SLOTS = SLOTS
"""Maximum number of slots with `engine.slots=auto`, by device. On a CPU more slots are not faster (docs/engine.md); on a GPU it is
measured how many are (`timing.py`)."""

RESERVE = 0.1
"""Share of the memory limit that is not used, because the prediction can be off by as much."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predicted memory of trials of one arm.

    Attributes:
        parameters: trainable parameters per trial.
        training: training passes of one trial.
        evaluated: examples of each evaluation.
        sizes: of the evaluations' passes.
        virtual: the trials' virtual tokens.
    """

    model: MemoryModel
    parameters: int
    training: frozenset[PassShape]
    evaluated: Sequence[EvaluationExamples]
    sizes: EvaluationSizes = ON_A_CPU
    virtual: Virtual = NONE_VIRTUAL

    def peak(self, slots: int) -> int:
        """Peak bytes of a worker that trains trials side by side and evaluates them together or one by one."""
        evaluation = (
            self.model.evaluation_peak(slots, together, self.parameters, self._evaluation_passes(together))
            for together in {1, slots}
        )
        return max(self.model.training_peak(slots, self.parameters, self.training), *evaluation)

    def slots_within(self, limit: int, aimed: int) -> int:
        """The largest number of slots, at most `aimed`, that fits into `limit` bytes with the reserve; at least one."""
        slots = aimed
        while slots > 1 and not self.fits(slots, limit):
            slots -= 1
        return slots

    def fits(self, slots: int, limit: int) -> bool:
        """Whether this number of trials fits into `limit` bytes with the reserve."""
        return self.peak(slots) <= (1 - RESERVE) * limit

    def _evaluation_passes(self, adapters: int) -> list[EvaluationPass]:
        return [
            each
            for examples, rule in self.evaluated
            for each in evaluation_passes(examples, adapters, rule, self.sizes, self.virtual)
        ]


def slot_capacity(
    base: LoadedBase,
    pack: Pack,
    request: CapacityRequest,
    budget: int | None,
    train: Sequence[Encoded],
    evaluated: Sequence[EvaluationExamples],
) -> SlotCapacity:
    """The requested number of slots, or as many as are fastest and fit into memory; at least one.

    Args:
        budget: bytes that the worker may use. If None, a requested number of slots is used as it is; `auto` divides the free
            memory among the workers.
    """
    aimed = request.slots or DEFAULT_SLOTS.get(base.device.type, 1)
    if not _is_predicted(base.device, request, budget, aimed):
        return SlotCapacity(aimed, aimed, checkpointing=request.training.uses_checkpointing(auto=False))
    limit = budget if budget is not None else memory_limit(base.device, request.workers)
    packed = [arm for arm in request.largest if trains_packed(arm)]
    if not packed:
        return SlotCapacity(1, 1, limit=limit, checkpointing=request.training.uses_checkpointing(auto=False))
    try:
        arm = largest_arm(base, pack, packed, request.training, train)
        prediction, checkpointing = _forecast_that_fits(base, pack, arm, request, limit, train, evaluated)
    except ConfigurationError:
        # a target module does not exist; the parent checks all targets of the plan and reports them together
        return SlotCapacity(1, aimed, limit=limit)
    if prediction is None:  # not even a short pass fits; a single trial may still
        return SlotCapacity(1, aimed, limit=limit, checkpointing=checkpointing)
    # a requested number without a budget is the user's decision
    fitting = aimed if request.slots is not None and budget is None else prediction.slots_within(limit, aimed)
    slots = fitting
    timings: Mapping[int, float] = {}
    if request.slots is None and base.device.type != "cpu" and fitting > 1:
        pack.auto_checkpointing = checkpointing
        timings = _timings(base, pack, arm, request, train, fitting)
        slots = fastest(timings, fitting)
    if slots < fitting:
        aimed = slots  # more would fit, and be no faster
    return SlotCapacity(
        slots,
        aimed,
        prediction.peak(slots),
        prediction.peak(aimed),
        limit,
        checkpointing=checkpointing,
        timings=timings,
    )


def largest_arm(base: LoadedBase, pack: Pack, arms: Sequence[Arm], training: Training, train: Sequence[Encoded]) -> Arm:
    """The arm whose training takes the most memory, as estimated from the model's configuration for the longest examples.

    Raises:
        ConfigurationError: a target module does not exist.
    """
    model: Any = base.model
    sizes = model_sizes(base)
    widths = widths_of(model.config.get_text_config(), sizes)
    longest = sorted(train, key=len)[-training.batch_size :]
    checkpointing = training.uses_checkpointing(auto=False)

    def peak(arm: Arm) -> int:
        adapter = pack.without_memory(arm)
        costs = estimated_training(sizes, widths, arm, checkpointing=checkpointing)
        trained = MemoryModel(sizes, 0, costs, costs)
        shapes = [shape_of(longest, adapter.virtual)] if longest else []
        return trained.training_peak(1, adapter.parameters() + adapter.constants(), shapes)

    return max(arms, key=peak)


def _is_predicted(device: torch.device, request: CapacityRequest, budget: int | None, aimed: int) -> bool:
    """Whether memory is predicted, which takes a few passes: where it can change the number of slots or gradient checkpointing."""
    has_limit = budget is not None or device.type != "cpu"
    if has_limit and request.training.leaves_checkpointing_open:
        return True
    return aimed > 1 and (request.slots is None or budget is not None)


def memory_limit(device: torch.device, workers: int) -> int:
    """Bytes that a worker may use if the free memory is divided among the workers."""
    return (free_bytes(device) + held_bytes(device)) // workers


def _forecast_that_fits(
    base: LoadedBase,
    pack: Pack,
    arm: Arm,
    request: CapacityRequest,
    limit: int,
    train: Sequence[Encoded],
    evaluated: Sequence[EvaluationExamples],
) -> tuple[Forecast | None, bool]:
    """A forecast, None where memory ran out, and whether it is with gradient checkpointing: if left open, where one trial needs it."""
    choices = [request.training.uses_checkpointing(auto=False)]
    if request.training.leaves_checkpointing_open:
        choices = [False, True]
    kept: tuple[Forecast | None, bool] = (None, choices[-1])
    for checkpointing in choices:
        predicted = _forecast_or_none(base, pack, arm, request, train, evaluated, checkpointing=checkpointing)
        if predicted is None:
            continue
        if kept[0] is None or predicted.peak(1) < kept[0].peak(1):
            kept = predicted, checkpointing
        if predicted.fits(1, limit):
            break
    return kept


def _forecast_or_none(
    base: LoadedBase,
    pack: Pack,
    arm: Arm,
    request: CapacityRequest,
    train: Sequence[Encoded],
    evaluated: Sequence[EvaluationExamples],
    *,
    checkpointing: bool,
) -> Forecast | None:
    predicted: Forecast | None = None
    training = replace(request.training, gradient_checkpointing=checkpointing)
    try:
        predicted = forecast(base, pack, arm, training, request.seed, train, evaluated)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if predicted is None:
        release()  # outside of the handler, since the exception holds the tensors of the failed pass
    return predicted


def _timings(
    base: LoadedBase, pack: Pack, arm: Arm, request: CapacityRequest, train: Sequence[Encoded], most: int
) -> Mapping[int, float]:
    """The seconds of a step by number of slots, known from an earlier worker on such a device or measured; empty if not wanted."""
    known = request.timings.get(device_name(base.device))
    if known or not request.measures:
        return known or {}
    return measured_timings(pack, arm, request.training, request.seed, train, most, base.device)


def forecast(
    base: LoadedBase,
    pack: Pack,
    arm: Arm,
    training: Training,
    seed: int,
    train: Sequence[Encoded],
    evaluated: Sequence[EvaluationExamples],
) -> Forecast:
    """Measures short passes, and predicts the memory of the trials from them.

    Args:
        arm: the arm that takes most memory.
    """
    ordered = training_examples(train, training, seed)
    largest = longest_batch(ordered, training.batch_size)
    checkpointing = training.uses_checkpointing(auto=pack.auto_checkpointing)
    model = measure_memory_model(base, pack, arm, largest, checkpointing=checkpointing)
    adapter = pack.without_memory(arm)
    return Forecast(
        model,
        adapter.parameters() + adapter.constants() + _copied(adapter.parameters(), training, base.device),
        frozenset(training_passes(ordered, training, adapter.virtual)),
        evaluated,
        evaluation_sizes(base.device),
        adapter.virtual,
    )


def _copied(parameters: int, training: Training, device: torch.device) -> int:
    """The copies of weights that decay towards the base and early stopping keep, as parameters with a gradient and two moments, which
    take four times the bytes. The copy of the best weights is in the host's memory."""
    copies = bool(training.decay_to_base) + (bool(training.early_stopping) and device.type == "cpu")
    return -(-parameters * copies // 4)
