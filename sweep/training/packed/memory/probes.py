"""Fits the memory model to the base on this machine: short passes whose memory is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from sweep.records import Arm
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.memory import PeakMemory, release, resident_bytes
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.attention import SHORT
from sweep.training.packed.evaluator import run_one_pass
from sweep.training.packed.layout import shared_prompt
from sweep.training.packed.memory.estimate import sizes_of
from sweep.training.packed.memory.model import (
    MemoryModel,
    ModelSizes,
    PassCosts,
    PassShape,
    shape_of,
)
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from sweep.training.quantization import quantized_modules
from tasks import Example

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
    return MemoryModel(sizes, held_bytes(base.device), training, evaluation)


def held_bytes(device: torch.device) -> int:
    """Memory that this process has taken: resident memory, or what the allocator has reserved of a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return resident_bytes(device)


def model_sizes(base: LoadedBase) -> ModelSizes:
    """The sizes of a base model, from its configuration."""
    model: Any = base.model
    is_cpu = base.device.type == "cpu"
    return sizes_of(
        model.config.get_text_config(),
        model.dtype.itemsize,
        on_gpu=not is_cpu,
        scores_held=SHORT if is_cpu else 0,
        largest_weight=0 if is_cpu else largest_quantized_weight(model),
    )


def largest_quantized_weight(model: torch.nn.Module) -> int:
    """Numbers of the largest 4-bit or 8-bit weight of a model; 0 if it has none."""
    modules = [module for _, module in quantized_modules(model)]
    return max((int(module.in_features) * int(module.out_features) for module in modules), default=0)  # type: ignore[arg-type]


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
        return shape_of(batch, self._adapter.virtual), self._measure(lambda: self._pack.accumulate([slot_batch]))

    def evaluation(self, batch: Sequence[Encoded]) -> Measurement:
        adapters = [self._adapter] * EVALUATED_TOGETHER
        shape = shape_of(batch, self._adapter.virtual).times(EVALUATED_TOGETHER)
        return shape, self._measure(lambda: run_one_pass(self._base, self._pack, adapters, batch))

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
