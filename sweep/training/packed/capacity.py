"""The number of trials that a worker trains side by side: predicted from the memory of a few short passes, which are measured
after the base is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.config.devices import SLOTS
from sweep.errors import ConfigurationError
from sweep.records import Arm, CapacityRequest, SlotCapacity, Training
from sweep.training.base_model import LoadedBase
from sweep.training.batches import longest_batch, training_examples
from sweep.training.device_errors import is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.engine import EvaluationExamples
from sweep.training.memory import PeakMemory, free_bytes, release, resident_bytes
from sweep.training.packed.adapter import SlotAdapter, target_modules
from sweep.training.packed.attention import SHORT
from sweep.training.packed.evaluation_sizes import ON_A_CPU, EvaluationSizes, evaluation_sizes
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.layout import shared_prompt
from sweep.training.packed.memory_model import (
    EvaluationPass,
    MemoryModel,
    ModelSizes,
    PassCosts,
    PassShape,
    evaluation_passes,
    parameters_of,
    shape_of,
    training_passes,
)
from sweep.training.packed.pack import Pack, SlotBatch
from tasks import Example

DEFAULT_SLOTS = SLOTS
"""Maximum number of slots with `engine.slots=auto`, by device. On a CPU more slots are not faster (docs/engine.md)."""

RESERVE = 0.1
"""Share of the memory limit that is not used, because the prediction can be off by as much."""

SHORT_TOKENS = 32
"""Tokens of the two short probes, which differ in their number of predictions only."""

ENOUGH_TRAINING, ENOUGH_EVALUATION = 32 * 2**20, 4 * 2**20
"""Bytes that the long probe should take, so that the allocator's rounding matters less."""

MOST_LOGITS = 6.0
"""Maximum copies of the logits; with a small vocabulary, larger fitted values are noise."""

TOKENS = 256
"""Initial tokens of the long probe: about a training pass, and a second of work for a CPU core."""

EVALUATED_TOGETHER = 2
"""Adapters in the evaluation probe, because evaluation passes are longer than training passes."""

TABLES_PER_LAYER = 2
"""Attention score tables of a layer in memory at once: before and after the softmax. For backward, each layer keeps the
latter (`attention.py`)."""

Measurement = tuple[PassShape, float]
"""The shape of a pass, and the bytes it took."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predicted memory of trials of one arm.

    Attributes:
        parameters: trainable parameters per trial.
        training: training passes of one trial.
        evaluated: examples of each evaluation.
        sizes: of the evaluations' passes.
    """

    model: MemoryModel
    parameters: int
    training: frozenset[PassShape]
    evaluated: Sequence[EvaluationExamples]
    sizes: EvaluationSizes = ON_A_CPU

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
        while slots > 1 and self.peak(slots) > (1 - RESERVE) * limit:
            slots -= 1
        return slots

    def _evaluation_passes(self, adapters: int) -> list[EvaluationPass]:
        return [
            each
            for examples, rule in self.evaluated
            for each in evaluation_passes(examples, adapters, rule, self.sizes)
        ]


def slot_capacity(
    base: LoadedBase,
    pack: Pack,
    request: CapacityRequest,
    budget: int | None,
    train: Sequence[Encoded],
    evaluated: Sequence[EvaluationExamples],
) -> SlotCapacity:
    """The requested number of slots, or as many as fit into memory; at least one.

    Args:
        budget: bytes that the worker may use. If None, a requested number of slots is used as it is; `auto` divides the
            free memory among the workers.
    """
    aimed = request.slots or DEFAULT_SLOTS.get(base.device.type, 1)
    if aimed == 1 or (request.slots is not None and budget is None):
        return SlotCapacity(aimed, aimed)
    limit = budget
    if limit is None:
        limit = (free_bytes(base.device) + resident_bytes(base.device)) // request.workers
    prediction: Forecast | None = None
    try:
        prediction = forecast(base, pack, request.largest, request.training, request.seed, train, evaluated)
    except ConfigurationError:
        # a target module does not exist; the parent checks all targets of the plan and reports them together
        return SlotCapacity(1, aimed, limit=limit)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if prediction is None:  # not even a short pass fits; a single trial may still
        release()
        return SlotCapacity(1, aimed, limit=limit)
    slots = prediction.slots_within(limit, aimed)
    return SlotCapacity(slots, aimed, prediction.peak(slots), prediction.peak(aimed), limit)


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
    model = measure_memory_model(base, pack, arm, largest, checkpointing=training.gradient_checkpointing)
    parameters = parameters_of(arm, target_modules(arm, tuple(pack.shapes)), pack.shapes)
    return Forecast(
        model, parameters, frozenset(training_passes(ordered, training)), evaluated, evaluation_sizes(base.device)
    )


def measure_memory_model(
    base: LoadedBase, pack: Pack, arm: Arm, largest: Sequence[Encoded], *, checkpointing: bool
) -> MemoryModel:
    """Fits the memory model to this base on this machine.

    Args:
        largest: the batch with most tokens.
        checkpointing: whether training uses gradient checkpointing.
    """
    sizes = model_sizes(base)
    pack.use_gradient_checkpointing(wanted=checkpointing)
    training, evaluation = _measure_costs(base, pack, arm, largest, sizes, 1 if checkpointing else sizes.layers)
    release()  # frees the probes' adapter
    return MemoryModel(sizes, resident_bytes(base.device), training, evaluation)


def model_sizes(base: LoadedBase) -> ModelSizes:
    """The sizes of a base model, from its configuration."""
    model: Any = base.model
    config = model.config.get_text_config()
    heads = int(config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return ModelSizes(
        layers=int(config.num_hidden_layers),
        heads=heads,
        query_width=heads * head_dim,
        key_width=int(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        vocabulary=int(config.vocab_size),
        number_bytes=model.dtype.itemsize,
        scores_held=SHORT if base.device.type == "cpu" else 0,
    )


def _measure_costs(
    base: LoadedBase, pack: Pack, arm: Arm, largest: Sequence[Encoded], sizes: ModelSizes, layers_held: int
) -> tuple[PassCosts, PassCosts]:
    """The costs of training passes and of evaluation passes.

    Args:
        layers_held: number of layers whose activations training keeps for backward.
    """
    probe = _Probe(base, pack, pack.adapter(arm))
    one_prediction, many_predictions = _synthetic_batch(1), _synthetic_batch(SHORT_TOKENS - 1)
    probe.training(one_prediction)  # libraries allocate once what they need for all passes
    training, evaluation = (
        fit_costs(
            known,
            sizes,
            one_prediction=run(one_prediction),
            many_predictions=run(many_predictions),
            long=_measure_long(run, largest, enough),
        )
        for known, run, enough in (
            (PassCosts(layers_held, layers_held + TABLES_PER_LAYER, 0.0, 0.0), probe.training, ENOUGH_TRAINING),
            (PassCosts(1, TABLES_PER_LAYER, 0.0, 0.0), probe.evaluation, ENOUGH_EVALUATION),
        )
    )
    return training, evaluation


def fit_costs(
    known: PassCosts,
    sizes: ModelSizes,
    one_prediction: Measurement,
    many_predictions: Measurement,
    long: Measurement,
) -> PassCosts:
    """Fits the costs per token and of the logits to three measurements.

    Args:
        known: costs without these two terms.
        one_prediction: differs from `many_predictions` in its number of predictions only.
        long: determines the cost per token; small passes waste a larger share in the allocator.
    """
    more = sizes.logits(many_predictions[0]) - sizes.logits(one_prediction[0])
    with_logits = replace(known, logits=min(MOST_LOGITS, max(0.0, many_predictions[1] - one_prediction[1]) / more))
    shape, measured = long
    return replace(with_logits, token=max(0.0, measured - with_logits.bytes(shape, sizes)) / shape.tokens)


def _measure_long(
    run: Callable[[Sequence[Encoded]], Measurement], largest: Sequence[Encoded], enough: int
) -> Measurement:
    """Measures a shortened batch of at least `TOKENS` tokens that takes `enough` bytes, or the whole batch."""
    tokens = TOKENS
    while True:
        shape, measured = run(shorten(largest, tokens))
        if measured >= enough or tokens >= shape_of(largest).tokens:
            return shape, measured
        tokens *= 4


class _Probe:
    """Runs passes with one adapter; returns their shapes, and their peak memory beyond what was in use before."""

    def __init__(self, base: LoadedBase, pack: Pack, adapter: SlotAdapter) -> None:
        self._base, self._pack, self._adapter = base, pack, adapter

    def training(self, batch: Sequence[Encoded]) -> Measurement:
        slot_batch = SlotBatch(self._adapter, batch, len(batch), dropout="probe")
        return shape_of(batch), self._measure(lambda: self._pack.accumulate([slot_batch]))

    def evaluation(self, batch: Sequence[Encoded]) -> Measurement:
        adapters = [self._adapter] * EVALUATED_TOGETHER
        shapes = [
            each.shape
            for each in evaluation_passes(batch, EVALUATED_TOGETHER, None, evaluation_sizes(self._base.device))
        ]
        largest = max(shapes, key=lambda shape: shape.tokens)
        return largest, self._measure(lambda: packed_losses(self._base, self._pack, adapters, batch))

    def _measure(self, run: Callable[[], object]) -> float:
        peak = PeakMemory(self._base.device)
        peak.start()
        before = resident_bytes(self._base.device)
        run()
        return float(max(0, peak.peak() - before))


def shorten(batch: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """A batch of the same proportions with about `tokens` tokens at most.

    The allocator's waste depends on how lengths differ, so it is measured on a batch like those of training.
    """
    share = min(1.0, tokens / shape_of(batch).tokens)
    prefix = shared_prompt(batch)

    def cut(ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids[: max(1, round(share * len(ids)))]

    return [
        Encoded(item.example, (*item.prompt[: int(share * prefix)], *cut(item.prompt[prefix:])), cut(item.completion))
        for item in batch
    ]


def _synthetic_batch(predictions: int) -> list[Encoded]:
    """One sequence with `SHORT_TOKENS` input tokens and the given number of predictions."""
    example = Example(prompt="", completion="")
    return [Encoded(example, (0,) * (SHORT_TOKENS + 1 - predictions), (0,) * predictions)]
