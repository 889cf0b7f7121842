"""How much a trial computes, in floating-point operations, from the tokens of its examples. Pure arithmetic.

A token costs two operations for each weight that it passes forward, and as many backward for the gradient of its input; the gradient of
a weight itself costs two more, which only full fine-tuning needs. All tokens pass the linear layers, and those with a prediction the
output head, too (Kaplan et al. 2020, section 2.1, without attention, which is small at these lengths).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.commands.planning.base_facts import BaseFacts
from sweep.methods import method_of, virtual_tokens
from sweep.records import Arm, MeanTokens
from sweep.study.examples import FORWARD, TRAINED, TRAINED_FULL
from sweep.training.encoding import Encoded

SCORED_TOGETHER = 2048
"""Tokens of a scoring pass on a CPU (`sweep.training.packed.evaluation_sizes`)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples as an engine computes them.

    Attributes:
        tokens: of all passes; a prompt's beginning that a pass shares counts once in `engine=packed`.
        predictions: tokens with logits: those of the completions.
        examples: number of examples.
        prompts: tokens of the prompts, of which `engine=trainer` computes the keys and values once more for each answer.
        longest: tokens of the longest completion.
    """

    tokens: float
    predictions: float
    examples: int
    prompts: float = 0.0
    longest: int = 0

    def times(self, factor: float) -> Rows:
        """This many times the tokens, by passes that do not share more than these."""
        return Rows(
            factor * self.tokens,
            factor * self.predictions,
            round(factor * self.examples),
            factor * self.prompts,
            self.longest,
        )

    def plus(self, other: Rows) -> Rows:
        """These rows and others."""
        return Rows(
            self.tokens + other.tokens,
            self.predictions + other.predictions,
            self.examples + other.examples,
            self.prompts + other.prompts,
            max(self.longest, other.longest),
        )

    def mean(self) -> MeanTokens:
        """Tokens per example, whatever a pass shares."""
        examples = max(1, self.examples)
        return MeanTokens((self.prompts + self.predictions) / examples, self.predictions / examples)

    def first(self, examples: int) -> Rows:
        """As many examples as `examples`, if they are like these."""
        return self.times(examples / self.examples) if self.examples else self


def rows_of(encoded: Sequence[Encoded], per_pass: int | None, *, packed: bool) -> Rows:
    """What computing these examples once takes.

    Args:
        per_pass: examples of a pass; None for scoring passes, of as many as make up `SCORED_TOGETHER` tokens.
        packed: whether a pass computes the beginning that its prompts share once, and the last token of each example not at all; if not,
            the rows of a pass are padded to its longest.
    """
    if not encoded:
        return Rows(0, 0, 0)
    lengths = sum(map(len, encoded))
    predictions = sum(len(item.completion) for item in encoded)
    tokens = float(lengths)
    if packed:
        passes = len(encoded) / per_pass if per_pass else max(1.0, lengths / SCORED_TOGETHER)
        shared = shared_prefix(encoded)
        tokens = lengths - len(encoded) - shared * max(0.0, len(encoded) - passes)
    elif per_pass:
        tokens *= padding(encoded, per_pass)
    longest = max(len(item.completion) for item in encoded)
    return Rows(tokens, predictions, len(encoded), lengths - predictions, longest)


def padding(encoded: Sequence[Encoded], per_pass: int) -> float:
    """How many times as many tokens passes have whose rows are padded to the longest of theirs; the examples are in random order."""
    passes = [encoded[start : start + per_pass] for start in range(0, len(encoded), per_pass)]
    padded = sum(len(batch) * max(map(len, batch)) for batch in passes)
    return padded / max(1, sum(map(len, encoded)))


def shared_prefix(encoded: Sequence[Encoded]) -> int:
    """Number of tokens with which all prompts begin, such as a chat template's and a system prompt's."""
    if len(encoded) < 2:
        return 0
    first, last = min(item.prompt for item in encoded), max(item.prompt for item in encoded)
    same = 0
    for one, other in zip(first[:-1], last[:-1], strict=False):
        if one != other:
            break
        same += 1
    return same


def training_work(facts: BaseFacts, rows: Rows, arm: Arm) -> float:
    """Operations of training on these rows."""
    each = TRAINED_FULL if method_of(arm).trains_base else TRAINED
    tokens = rows.tokens + virtual_tokens(arm) * rows.examples
    return each * (facts.body * tokens + facts.head * rows.predictions)


def scoring_work(facts: BaseFacts, rows: Rows, arm: Arm | None = None) -> float:
    """Operations of computing the losses of these rows."""
    tokens = rows.tokens + virtual_tokens(arm) * rows.examples
    return FORWARD * (facts.body * tokens + facts.head * rows.predictions)


def answering_work(facts: BaseFacts, rows: Rows, *, labels: int, adapted: bool, packed: bool) -> float:
    """Operations of answering the prompts of these rows, after they were scored.

    An adapter writes about as much as is expected; the bare base, which does not know the format, until it is stopped.

    Args:
        labels: tokens of all labels, if the likeliest one is the answer; 0 where answers are decoded.
        packed: whether answers continue from the scored prompts, whose keys and values are kept.
    """
    written = rows.predictions if adapted else rows.examples * rows.longest
    tokens = rows.examples * labels if labels else written
    again = 0.0 if packed else FORWARD * facts.body * rows.prompts
    return again + FORWARD * (facts.body + facts.head) * tokens
