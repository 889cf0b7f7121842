"""Predicts the memory of a pack from the shapes of its passes, before any of them runs. Pure arithmetic.

    training   = resident + slots * (adapter, gradient, AdamW's two moments) + the largest training pass
    evaluation = resident + evaluated * adapter + other slots * (as in training) + the largest evaluation pass

The memory of a pass is a sum of terms for tokens, attention pairs and logits (`PassCosts`), and on a GPU of those that do not
grow with tokens (`terms.py`). The unknown coefficients are fitted to short passes that are measured on this machine with
the study's largest arm (`capacity.py`), or estimated from the model's configuration (`estimate.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.methods.initialization import stored_rank
from sweep.methods.module_ranks import module_rank
from sweep.records import Arm, Training
from sweep.training.encoding import Encoded
from sweep.training.losses_and_answers import AnswerRule
from sweep.training.packed.evaluation_sizes import ON_A_CPU, EvaluationSizes
from sweep.training.packed.evaluator import evaluation_batches
from sweep.training.packed.layout import NONE_VIRTUAL, Virtual, shared_prompt
from sweep.training.packed.memory import terms
from sweep.training.packed.tables import length_class, rounded_width

ENDED_BYTES = terms.FP32_BYTES
"""Bytes per trainable parameter after training, in fp32: the parameter."""


@dataclass(frozen=True, slots=True)
class PassShape:
    """The quantities that determine the memory of a pass.

    Attributes:
        tokens: length of the row.
        predictions: number of tokens with logits.
        tables: of each table of attention: sequences, longest query, longest key.
    """

    tokens: int
    predictions: int
    tables: tuple[tuple[int, int, int], ...]

    @property
    def queries(self) -> int:
        """Padded queries in attention."""
        return sum(sequences * query for sequences, query, _ in self.tables)

    @property
    def keys(self) -> int:
        """Padded keys in attention."""
        return sum(sequences * key for sequences, _, key in self.tables)

    def pairs(self, longest_key: int) -> int:
        """Entries of the attention scores per head, of the tables with at most this number of keys."""
        return sum(sequences * query * key for sequences, query, key in self.tables if key <= longest_key)

    def times(self, slots: int) -> PassShape:
        """The shape of a pass with this batch in each of several slots."""
        tables = tuple((slots * sequences, query, key) for sequences, query, key in self.tables)
        return PassShape(slots * self.tokens, slots * self.predictions, tables)

    def on_gpu(self) -> PassShape:
        """The shape with the widths that a GPU's tables have."""
        tables = tuple((count, rounded_width(query), rounded_width(key)) for count, query, key in self.tables)
        return replace(self, tables=tables)


def shape_of(batch: Sequence[Encoded], virtual: Virtual = NONE_VIRTUAL) -> PassShape:
    """The shape of a pass of one slot with this batch, as laid out by `layout.lay_out`."""
    common = shared_prompt(batch)
    prefix = virtual.embedded + common
    lengths = [len(item) - common - 1 for item in batch]
    tables: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for query, before in [*([(prefix, 0)] if prefix else []), *((own, prefix) for own in lengths)]:
        key = virtual.given + before + query
        tables.setdefault(length_class(query, key), []).append((query, key))
    return PassShape(
        tokens=prefix + sum(lengths),
        predictions=sum(len(item.completion) for item in batch),
        tables=tuple(
            (len(own), max(query for query, _ in own), max(key for _, key in own)) for _, own in sorted(tables.items())
        ),
    )


def training_passes(ordered: Sequence[Encoded], training: Training, virtual: Virtual = NONE_VIRTUAL) -> set[PassShape]:
    """The shapes of one trial's training passes.

    Args:
        ordered: the training examples in training order.
        virtual: the trial's virtual tokens.
    """
    size = training.batch_size
    return {shape_of(ordered[start : start + size], virtual) for start in range(0, len(ordered), size)}


@dataclass(frozen=True, slots=True)
class EvaluationPass:
    """A pass that computes losses or answers.

    Attributes:
        cached: capacity of the key-value cache in tokens, including those of this pass.
    """

    shape: PassShape
    cached: int


def evaluation_passes(
    encoded: Sequence[Encoded],
    adapters: int,
    rule: AnswerRule | None,
    sizes: EvaluationSizes = ON_A_CPU,
    virtual: Virtual = NONE_VIRTUAL,
) -> Iterator[EvaluationPass]:
    """The passes that evaluate examples under several adapters; an upper bound if `rule` asks for answers.

    Args:
        virtual: the virtual tokens of each adapter.
    """
    for batches in evaluation_batches(encoded, adapters, sizes, with_answers=rule is not None):
        cache, sequences = _CacheSize(adapters * virtual.given), 0
        for indices in batches:
            shape = shape_of([encoded[index] for index in indices], virtual).times(adapters)
            sequences += adapters * len(indices)
            yield EvaluationPass(shape, cache.add(shape.tokens) if rule is not None else 0)
        if rule is not None:
            longest = virtual.count + max(len(encoded[index]) for indices in batches for index in indices)
            shape = _answering_shape(sequences, longest, rule, sizes)
            yield EvaluationPass(shape, cache.add(shape.tokens))


class _CacheSize:
    """Capacity in tokens of a `decoding.row_cache`, which grows by doubling.

    Args:
        given: tokens that are put into it first.
    """

    def __init__(self, given: int) -> None:
        self._used = self._capacity = given

    def add(self, tokens: int) -> int:
        """Returns the capacity after adding tokens."""
        self._used += tokens
        if self._used > self._capacity:
            self._capacity = 2 * self._used if self._capacity else self._used
        return self._capacity


def _answering_shape(sequences: int, longest: int, rule: AnswerRule, sizes: EvaluationSizes) -> PassShape:
    """The largest pass of answering if no answer follows from its loss: one token of each answer, or the label tree."""
    nodes = len({label.ids[:end] for label in rule.labels for end in range(1, len(label.ids))}) if rule.labels else 1
    row = min(sequences * nodes, max(sizes.predictions, nodes)) if rule.labels else sequences
    prompts = max(1, row // max(1, nodes))
    return PassShape(row, row, ((prompts, math.ceil(row / prompts), longest + nodes),))


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The sizes of the base model that determine the memory of a pass.

    Attributes:
        query_width: heads * head_dim.
        key_width: key heads * head_dim.
        vocabulary: logits per prediction.
        number_bytes: bytes per activation.
        scores_held: up to this number of keys per sequence, all attention scores are in memory at once; 0 for never.
        logits_at_once: predictions whose logits are in memory at once.
        largest_weight: numbers of the largest quantized weight; 0 if none is dequantized in a pass.
        on_gpu: whether tables and biases are those of a GPU, and limits count reserved memory.
    """

    layers: int
    heads: int
    query_width: int
    key_width: int
    vocabulary: int
    number_bytes: int
    scores_held: int
    logits_at_once: int = 1 << 62
    largest_weight: int = 0
    on_gpu: bool = False

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads * self.key_width // self.query_width

    def gathered(self, shape: PassShape) -> int:
        """Bytes of one layer's queries, keys and values, gathered by sequence."""
        shape = shape.on_gpu() if self.on_gpu else shape
        return self.number_bytes * (shape.queries * self.query_width + 2 * shape.keys * self.key_width)

    def scores(self, shape: PassShape) -> int:
        """Bytes of one layer's attention scores."""
        return self.number_bytes * self.heads * shape.pairs(self.scores_held)

    def logits(self, shape: PassShape) -> int:
        """Bytes of the logits that exist at once, in fp32."""
        return terms.logits(shape.predictions, self.vocabulary, self.logits_at_once)

    def fixed(self, shape: PassShape) -> int:
        """Bytes of a pass on a GPU that do not grow with its tokens: the largest weight dequantized, and the biases of attention."""
        weight = terms.dequantized_weight(self.largest_weight, self.number_bytes)
        if not self.on_gpu:
            return weight
        copies = terms.bias_copies(self.heads, self.key_heads)
        return weight + terms.attention_bias(shape.on_gpu().tables, self.number_bytes, copies)

    def compute_copies(self, parameters: int) -> int:
        """Bytes of an adapter in the type of the products."""
        return terms.compute_copies(parameters, self.number_bytes) if self.on_gpu else 0

    @property
    def cached_token(self) -> int:
        """Bytes of one token's keys and values in all layers."""
        return 2 * self.layers * self.key_width * self.number_bytes


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Coefficients of the memory of a pass.

    Attributes:
        layers: number of layers whose gathered queries, keys and values are in memory at once.
        tables: number of attention score tables in memory at once.
        token: bytes per token, including the adapter's activations; fitted.
        logits: number of copies of the logits; fitted.
    """

    layers: int
    tables: int
    token: float
    logits: float

    def bytes(self, shape: PassShape, sizes: ModelSizes) -> float:
        """Memory of a pass of this shape, without resident memory."""
        attention = self.layers * sizes.gathered(shape) + self.tables * sizes.scores(shape)
        return sizes.fixed(shape) + attention + self.token * shape.tokens + self.logits * sizes.logits(shape)


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Predicted memory of one worker, in bytes: resident on a CPU, reserved on a GPU.

    Attributes:
        resident: memory of the process with base, copies, data and libraries, without trials; on a GPU that of the base.
        training: costs of a forward and backward pass with adapters of the fitted arm.
        evaluation: costs of a forward pass with such adapters.
    """

    sizes: ModelSizes
    resident: int
    training: PassCosts
    evaluation: PassCosts

    def training_peak(self, slots: int, parameters: int, passes: Iterable[PassShape]) -> int:
        """Peak memory of training.

        Args:
            slots: number of trials side by side.
            parameters: trainable parameters per trial.
            passes: training passes of one trial.
        """
        largest = max((self.training.bytes(shape.times(slots), self.sizes) for shape in passes), default=0.0)
        adapters = terms.optimizer_state(parameters) + self.sizes.compute_copies(parameters)
        return self._as_limited(self.resident + slots * adapters + largest)

    def evaluation_peak(self, slots: int, evaluated: int, parameters: int, passes: Iterable[EvaluationPass]) -> int:
        """Peak memory while some slots' trials are evaluated together and the others wait.

        Args:
            slots: number of trials side by side.
            evaluated: number of them that are evaluated together.
            parameters: trainable parameters per trial.
            passes: all passes of the evaluation.
        """
        costs = (
            self.evaluation.bytes(each.shape, self.sizes) + self.sizes.cached_token * each.cached for each in passes
        )
        ended = ENDED_BYTES * parameters + self.sizes.compute_copies(parameters)
        state = evaluated * ended + (slots - evaluated) * terms.optimizer_state(parameters)
        return self._as_limited(self.resident + state + max(costs, default=0.0))

    def _as_limited(self, peak: float) -> int:
        """The peak as limits count it: on a GPU what the allocator reserves."""
        return round(terms.reserved(peak, self.resident) if self.sizes.on_gpu else peak)


def parameters_of(arm: Arm, targets: Iterable[str], shapes: Mapping[str, tuple[int, int]]) -> int:
    """Number of trainable parameters of an arm's adapter. Initial values that are subtracted count like trainable ones: they have no
    gradient and no moments, but each pass puts them beside the others.

    Args:
        targets: full names of its target modules.
        shapes: (in_features, out_features) of each module.
    """
    of_all = ((stored_rank(replace(arm, rank=module_rank(arm, name))), shapes[name]) for name in targets)
    return sum(rank * (inputs + outputs) for rank, (inputs, outputs) in of_all)
