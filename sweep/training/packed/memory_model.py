"""How much memory a pack takes: predicted from its passes, before any of them has run. Pure arithmetic.

    training = resident + slots * (adapter, gradient, AdamW's two moments) + the largest pass of training
    scoring  = resident + ended * adapter + others * (...) + the largest pass of scoring those that ended

What a pass takes is a sum over what grows with it, bytes by tokens, attended pairs and logits (`Costs`). The coefficients come
from short passes measured on this machine with the study's largest arm (`memory_probe.py`); what is known is not fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweep.records import Arm, Training
from sweep.training.encoding import Encoded
from sweep.training.forward import SCORE_LOGITS
from sweep.training.packed.evaluator import passes
from sweep.training.packed.layout import shared_prompt
from sweep.training.scored import AnswerRule

STATE_BYTES = 16
"""Bytes that a number takes in fp32 while it is trained: itself, its gradient, AdamW's two moments."""

ENDED_BYTES = 4
"""Bytes that it takes in fp32 once its trial has ended: itself."""

_FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class PassShape:
    """What of a pass counts for memory.

    Attributes:
        tokens: of the row.
        predictions: tokens whose logits are computed.
        queries: places for queries in attention, those that are filled up included: sequences * longest query.
        keys: places for keys likewise.
        pairs: places in the table of attention's scores: sequences * longest query * longest key.
    """

    tokens: int
    predictions: int
    queries: int
    keys: int
    pairs: int

    def times(self, slots: int) -> PassShape:
        """The pass of so many slots with such a batch each."""
        return PassShape(*(slots * count for count in self.counts))

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """All counts in order."""
        return self.tokens, self.predictions, self.queries, self.keys, self.pairs


def shape_of(batch: Sequence[Encoded]) -> PassShape:
    """The pass of one slot with this batch, as `layout.lay_out` lays it out."""
    prefix = shared_prompt(batch)
    own = [len(item) - prefix - 1 for item in batch]
    sequences = len(batch) + (prefix > 0)
    query, key = max(prefix, *own), prefix + max(own)
    return PassShape(
        tokens=prefix + sum(own),
        predictions=sum(len(item.completion) for item in batch),
        queries=sequences * query,
        keys=sequences * key,
        pairs=sequences * query * key,
    )


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """What of the base model counts.

    Attributes:
        query_width: heads times head size.
        key_width: key heads times head size.
        vocabulary: logits a prediction.
        number_bytes: bytes of a number of an activation.
        scores_held: the longest key up to which attention's scores are all in memory at once; 0 for never.
    """

    layers: int
    heads: int
    query_width: int
    key_width: int
    vocabulary: int
    number_bytes: int
    scores_held: int

    def gathered(self, shape: PassShape) -> int:
        """Bytes of queries, keys and values of one layer, gathered into sequences."""
        return self.number_bytes * (shape.queries * self.query_width + 2 * shape.keys * self.key_width)

    def scores(self, shape: PassShape) -> int:
        """Bytes of one layer's table of attention scores."""
        longest_key = shape.pairs // max(1, shape.queries)
        return self.number_bytes * self.heads * shape.pairs if longest_key <= self.scores_held else 0

    def logits(self, shape: PassShape) -> int:
        """Bytes of the logits, which are in fp32."""
        return _FP32_BYTES * self.vocabulary * shape.predictions

    @property
    def cached_token(self) -> int:
        """Bytes of a token's keys and values in all layers."""
        return 2 * self.layers * self.key_width * self.number_bytes


@dataclass(frozen=True, slots=True)
class Costs:
    """What a pass takes.

    Attributes:
        layers: of so many layers the gathered queries, keys and values are held at the same time.
        tables: so many layers' tables of attention scores likewise.
        token: bytes a token, fitted; what the adapter holds of it is included.
        logits: how many times the logits are held, fitted.
    """

    layers: int
    tables: int
    token: float
    logits: float

    def bytes(self, shape: PassShape, sizes: ModelSizes) -> float:
        """What a pass of this shape takes beside what is resident."""
        attention = self.layers * sizes.gathered(shape) + self.tables * sizes.scores(shape)
        return attention + self.token * shape.tokens + self.logits * sizes.logits(shape)


@dataclass(frozen=True, slots=True)
class ScoringPass:
    """A pass of scoring or answering.

    Attributes:
        cached: tokens whose keys and values there is room for, those of this pass included.
    """

    shape: PassShape
    cached: int


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Memory of one worker, in bytes.

    Attributes:
        resident: of the process with base, copies, data and libraries, no trial begun.
        training: a forward and backward pass with adapters of the arm that it was fitted with.
        scoring: a forward pass likewise.
    """

    sizes: ModelSizes
    resident: int
    training: Costs
    scoring: Costs

    def training_peak(self, slots: int, parameters: int, trained: Iterable[PassShape]) -> int:
        """The peak of a worker that trains so many trials side by side.

        Args:
            parameters: numbers that one trial trains.
            trained: the passes of one trial.
        """
        largest = max((self.training.bytes(shape.times(slots), self.sizes) for shape in trained), default=0.0)
        return round(self.resident + slots * STATE_BYTES * parameters + largest)

    def scoring_peak(self, slots: int, ended: int, parameters: int, scored: Iterable[ScoringPass]) -> int:
        """The peak of a worker while it scores those of its trials that ended; the others wait in their slots.

        Args:
            ended: how many of the slots' trials are scored together.
            parameters: as above.
            scored: all passes of scoring so many.
        """
        passes = (self.scoring.bytes(each.shape, self.sizes) + self.sizes.cached_token * each.cached for each in scored)
        state = (ended * ENDED_BYTES + (slots - ended) * STATE_BYTES) * parameters
        return round(self.resident + state + max(passes, default=0.0))


def parameters_of(arm: Arm, targets: Iterable[str], shapes: Mapping[str, tuple[int, int]]) -> int:
    """How many numbers an arm's adapter has.

    Args:
        targets: full names of its modules.
        shapes: (inputs, outputs) of each module.
    """
    return sum(arm.rank * (inputs + outputs) for inputs, outputs in (shapes[name] for name in targets))


def training_passes(ordered: Sequence[Encoded], training: Training) -> set[PassShape]:
    """The passes of one trial.

    Args:
        ordered: the examples in the order in which it uses them.
    """
    size = training.batch_size
    return {shape_of(ordered[start : start + size]) for start in range(0, len(ordered), size)}


def scoring_passes(encoded: Sequence[Encoded], slots: int, rule: AnswerRule | None) -> Iterator[ScoringPass]:
    """The passes of scoring examples under so many adapters together, and by a rule of answering them all."""
    for together in passes(encoded, slots, together=rule is not None):
        cache, sequences = _Cache(), 0
        for indices in together:
            shape = shape_of([encoded[index] for index in indices]).times(slots)
            sequences += slots * len(indices)
            yield ScoringPass(shape, cache.with_more(shape.tokens) if rule is not None else 0)
        if rule is not None:
            longest = max(len(encoded[index]) for indices in together for index in indices)
            shape = _answering(sequences, longest, rule)
            yield ScoringPass(shape, cache.with_more(shape.tokens))


class _Cache:
    """How many tokens a `decoding.row_cache` has room for: it grows by doubling."""

    def __init__(self) -> None:
        self._used = self._room = 0

    def with_more(self, tokens: int) -> int:
        """Its room after so many more tokens."""
        self._used += tokens
        if self._used > self._room:
            self._room = 2 * self._used if self._room else self._used
        return self._room


def _answering(sequences: int, longest: int, rule: AnswerRule) -> PassShape:
    """The pass over what no answer is known of yet, at most: a token of each answer, or the labels' tokens."""
    nodes = len({label.ids[:end] for label in rule.labels for end in range(1, len(label.ids))}) if rule.labels else 1
    row = min(sequences * nodes, max(SCORE_LOGITS, nodes)) if rule.labels else sequences
    reading = max(1, row // max(1, nodes))
    return PassShape(row, row, row, reading * (longest + nodes), row * (longest + nodes))
