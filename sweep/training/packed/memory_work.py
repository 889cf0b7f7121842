"""The passes that trials are trained and scored in, as shapes: what the memory model is asked about. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.records import Training
from sweep.training.encoding import Encoded
from sweep.training.forward import SCORE_LOGITS
from sweep.training.packed.memory_model import PassShape, ScoringPass, shape_of
from sweep.training.packed.scoring import passes
from sweep.training.scored import AnswerRule


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
