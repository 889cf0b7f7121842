"""How many trials a worker has room for, by the memory that they are predicted to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.errors import ConfigurationError
from sweep.records import Arm, CapacityRequest, SlotCapacity, Training
from sweep.training.base_model import LoadedBase
from sweep.training.batches import longest_batch, training_examples
from sweep.training.encoding import Encoded
from sweep.training.engine import Scored
from sweep.training.memory import PeakMemory, free_bytes, is_out_of_memory, release, resident_bytes
from sweep.training.packed.adapter import SlotAdapter, matching
from sweep.training.packed.attention import SHORT
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.layout import shared_prompt
from sweep.training.packed.memory_model import (
    Costs,
    MemoryModel,
    ModelSizes,
    PassShape,
    ScoringPass,
    parameters_of,
    scoring_passes,
    shape_of,
    training_passes,
)
from sweep.training.packed.pack import Pack, SlotBatch
from tasks import Example

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


SHORT_TOKENS = 32
"""Tokens of the short probes, which differ in nothing but the number of their predictions."""

ENOUGH_TRAINING, ENOUGH_SCORING = 32 * 2**20, 4 * 2**20
"""Bytes that the longest probe takes at least, if there are tokens enough: less is lost in what the allocator rounds."""

MOST_LOGITS = 6.0
"""How many times the logits are held at most; more is noise, where a vocabulary is small."""

TOKENS = 256
"""Tokens of the longest probe: about what a training pass has, and a second's work for a core."""

SCORED_TOGETHER = 2
"""Adapters under which a probe scores its batch: passes of scoring are longer than those of training."""

TABLES_IN_A_LAYER = 2
"""Tables of attention scores that a layer holds at once: before and after the softmax; a backward pass keeps the latter
of each layer (`attention.py`)."""


def sizes_of(base: LoadedBase) -> ModelSizes:
    """The sizes of a base model."""
    model: Any = base.model
    config = model.config.get_text_config()
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return ModelSizes(
        layers=int(config.num_hidden_layers),
        heads=heads,
        query_width=heads * size,
        key_width=int(getattr(config, "num_key_value_heads", None) or heads) * size,
        vocabulary=int(config.vocab_size),
        number_bytes=model.dtype.itemsize,
        scores_held=SHORT if base.device.type == "cpu" else 0,
    )


def measured_model(
    base: LoadedBase, pack: Pack, arm: Arm, largest: Sequence[Encoded], *, checkpointing: bool
) -> MemoryModel:
    """The memory model of this base on this machine.

    Args:
        arm: the one that takes most memory of those that are to be trained.
        largest: the batch of most tokens.
        checkpointing: whether training uses gradient checkpointing.
    """
    sizes = sizes_of(base)
    pack.checkpoint(wanted=checkpointing)
    training, scoring = _costs(base, pack, arm, largest, sizes, layers_held=1 if checkpointing else sizes.layers)
    release()  # the probes' adapter is gone with them
    return MemoryModel(sizes, resident_bytes(base.device), training, scoring)


def _costs(
    base: LoadedBase, pack: Pack, arm: Arm, largest: Sequence[Encoded], sizes: ModelSizes, layers_held: int
) -> tuple[Costs, Costs]:
    """What passes of training and of scoring cost."""
    probe = _Probe(base, pack, SlotAdapter(arm, pack.shapes, base.device))
    short, worded = _made(1), _made(SHORT_TOKENS - 1)
    probe.training(short)  # libraries allocate once what they need for all passes
    kinds = (
        (Costs(layers_held, layers_held + TABLES_IN_A_LAYER, 0.0, 0.0), probe.training, ENOUGH_TRAINING),
        (Costs(1, TABLES_IN_A_LAYER, 0.0, 0.0), probe.scoring, ENOUGH_SCORING),
    )
    training, scoring = (
        fitted(
            known,
            sizes,
            short=run(short),
            worded=run(worded),
            long=_telling(run, largest, enough),
        )
        for known, run, enough in kinds
    )
    return training, scoring


Taken = tuple[PassShape, float]
"""A pass and the bytes that it took."""


def fitted(known: Costs, sizes: ModelSizes, short: Taken, worded: Taken, long: Taken) -> Costs:
    """The costs with which passes take what they took.

    Args:
        known: without a token and without logits.
        worded: as `short`, with more predictions.
        long: a token costs what it costs here; small passes waste more on the allocator.
    """
    more = sizes.logits(worded[0]) - sizes.logits(short[0])
    priced = replace(known, logits=min(MOST_LOGITS, max(0.0, worded[1] - short[1]) / more))
    shape, took = long
    return replace(priced, token=max(0.0, took - priced.bytes(shape, sizes)) / shape.tokens)


def _telling(run: Callable[[Sequence[Encoded]], Taken], largest: Sequence[Encoded], enough: int) -> Taken:
    """A part of the batch, and what it takes: `TOKENS`, of a small model more."""
    tokens = TOKENS
    while True:
        shape, took = run(shortened(largest, tokens))
        if took >= enough or tokens >= shape_of(largest).tokens:
            return shape, took
        tokens *= 4


class _Probe:
    """Passes with one adapter: their shapes, and the bytes held at most in them beside those that were held before."""

    def __init__(self, base: LoadedBase, pack: Pack, adapter: SlotAdapter) -> None:
        self._base, self._pack, self._adapter = base, pack, adapter

    def training(self, batch: Sequence[Encoded]) -> Taken:
        taking = SlotBatch(self._adapter, batch, len(batch), dropout="probe")
        return shape_of(batch), self._taken(lambda: self._pack.accumulate([taking]))

    def scoring(self, batch: Sequence[Encoded]) -> Taken:
        adapters = [self._adapter] * SCORED_TOGETHER
        shapes = [each.shape for each in scoring_passes(batch, SCORED_TOGETHER, None)]
        largest = max(shapes, key=lambda shape: shape.tokens)
        return largest, self._taken(lambda: packed_losses(self._base, self._pack, adapters, batch))

    def _taken(self, run: Callable[[], object]) -> float:
        peak = PeakMemory(self._base.device)
        peak.start()
        before = resident_bytes(self._base.device)
        run()
        return float(max(0, peak.peak() - before))


def shortened(batch: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """A batch of the same proportions with about so many tokens at most.

    What the allocator wastes depends on how lengths differ, so it is measured on a batch like those of training.
    """
    part = min(1.0, tokens / shape_of(batch).tokens)
    prefix = shared_prompt(batch)

    def cut(ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids[: max(1, round(part * len(ids)))]

    return [
        Encoded(item.example, (*item.prompt[: int(part * prefix)], *cut(item.prompt[prefix:])), cut(item.completion))
        for item in batch
    ]


def _made(predictions: int) -> list[Encoded]:
    """One sequence of `SHORT_TOKENS` that go through the model, with so many predictions."""
    example = Example(prompt="", completion="")
    return [Encoded(example, (0,) * (SHORT_TOKENS + 1 - predictions), (0,) * predictions)]
