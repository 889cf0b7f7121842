"""The memory of one trial that transformers' Trainer trains through PEFT, estimated: its passes cannot be measured in advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.errors import ConfigurationError
from sweep.methods import virtual_tokens
from sweep.records import Arm, CapacityRequest, SlotCapacity, Training
from sweep.training.adapter_size import adapter_sizes
from sweep.training.adapters import target_modules
from sweep.training.base_model import LoadedBase
from sweep.training.batches import longest_batch, training_examples
from sweep.training.encoding import Encoded
from sweep.training.packed.memory.capacity import RESERVE, memory_limit
from sweep.training.packed.memory.estimate import estimated_training, widths_of
from sweep.training.packed.memory.model import MemoryModel, PassShape, parameters_of
from sweep.training.packed.memory.probes import held_bytes, model_sizes
from sweep.training.packed.pack import linear_shapes


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """A batch whose rows are padded to one length.

    Attributes:
        columns: tokens of a row.
        predicted: last columns that have logits.
    """

    rows: int
    columns: int
    predicted: int

    @property
    def shape(self) -> PassShape:
        """The shape of a pass over it."""
        return PassShape(
            self.rows * self.columns, self.rows * self.predicted, ((self.rows, self.columns, self.columns),)
        )


def padded(batch: Sequence[Encoded]) -> PaddedBatch:
    """How `batches.Collator` pads a batch."""
    return PaddedBatch(len(batch), max(map(len, batch)), max(len(item.completion) for item in batch) + 1)


def single_capacity(
    base: LoadedBase, request: CapacityRequest, budget: int | None, train: Sequence[Encoded]
) -> SlotCapacity:
    """One trial, and whether it needs gradient checkpointing where the recipe leaves that open."""
    training = request.training
    has_limit = budget is not None or base.device.type != "cpu"
    if not (training.leaves_checkpointing_open and has_limit and train):
        return SlotCapacity(1, 1, checkpointing=training.uses_checkpointing(auto=False))
    limit = budget if budget is not None else memory_limit(base.device, request.workers)
    batch = padded(longest_batch(training_examples(train, training, request.seed), training.batch_size))
    try:
        without, with_it = (estimated_peak(base, request, batch, checkpointing=each) for each in (False, True))
    except (
        ConfigurationError,
        AttributeError,
    ):  # no such module, which the parent reports; or a configuration of another kind
        return SlotCapacity(1, 1, limit=limit)
    checkpointing = without > (1 - RESERVE) * limit
    peak = with_it if checkpointing else without
    return SlotCapacity(1, 1, peak, peak, limit, checkpointing=checkpointing)


def estimated_peak(base: LoadedBase, request: CapacityRequest, batch: PaddedBatch, *, checkpointing: bool) -> int:
    """Estimated peak memory of training the arm that takes the most, in bytes.

    Keys and values are repeated for the heads that share them, each layer makes its own bias, the logits exist at once, and each adapted
    module keeps a copy of its input.
    """
    model: Any = base.model
    sizes = model_sizes(base)
    widths = widths_of(model.config.get_text_config(), sizes)
    repeated = replace(sizes, key_width=sizes.query_width, logits_at_once=1 << 62)

    def peak(arm: Arm) -> int:
        costs = estimated_training(repeated, widths, arm, checkpointing=checkpointing, shared=False)
        own = replace(batch, columns=batch.columns + virtual_tokens(arm))
        biases = (costs.layers - 1) * sizes.number_bytes * own.rows * own.columns**2
        model_of_one = MemoryModel(repeated, held_bytes(base.device) + biases, costs, costs)
        return model_of_one.training_peak(1, _parameters(base, arm, request.training), [own.shape])

    return max(map(peak, request.largest))


def _parameters(base: LoadedBase, arm: Arm, training: Training) -> int:
    """Trainable parameters of the arm on this base."""
    if arm.rank:
        shapes = linear_shapes(base)
        return parameters_of(arm, target_modules(arm, tuple(shapes)), shapes)
    (size,) = adapter_sizes(base, [arm], training)
    if size.problem is not None:
        raise ConfigurationError(size.problem)
    return size.parameters
