"""From the outcomes of examples to loss and metrics; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sweep.errors import TrialDiverged
from sweep.records import ExampleOutcome
from tasks import Example
from tasks.scoring import score_answer, scores_by_kind, shares


class CompletionNats(Protocol):
    """The loss of one completion: nats summed over its tokens."""

    @property
    def nats(self) -> float: ...

    @property
    def tokens(self) -> int: ...


def mean_loss(losses: Sequence[CompletionNats]) -> float:
    """Nats per completion token, over all tokens of all examples.

    Raises:
        TrialDiverged: the loss is not finite.
    """
    loss = sum(one.nats for one in losses) / sum(one.tokens for one in losses)
    if not math.isfinite(loss):
        raise TrialDiverged(f"diverged: the loss after training was {loss}")
    return loss


def bits_per_byte(texts: Sequence[str], losses: Sequence[CompletionNats]) -> float | None:
    """Bits to encode a byte of the texts: unlike nats per token, comparable between models whose tokenizers differ.

    The negative log-likelihood in bits, over the length of the texts in UTF-8 (Gao et al. 2020, arXiv:2101.00027, section 3.1). A
    completion's end-of-turn token is part of its likelihood, and has no bytes.

    Args:
        texts: what each loss is of.

    Returns:
        None if the texts are empty.
    """
    length = sum(len(text.encode()) for text in texts)
    return sum(one.nats for one in losses) / math.log(2) / length if length else None


def with_score(metric: str, example: Example, outcome: ExampleOutcome) -> ExampleOutcome:
    """The outcome with its answer scored by the task metric."""
    if outcome.answer is None:
        return outcome
    return replace(outcome, score=score_answer(metric, outcome.answer, example))


def metrics_of(metric: str, examples: Sequence[Example], answers: Sequence[str | None]) -> dict[str, float]:
    """The task metric under its name, and under `name/kind` for each kind of example; empty unless all were answered."""
    given = [answer for answer in answers if answer is not None]
    if len(given) < len(examples):
        return {}
    scores = scores_by_kind(metric, given, examples)
    return {metric if kind is None else f"{metric}/{kind}": score for kind, score in scores.items()}


def shares_of(metric: str, examples: Sequence[Example], answers: Sequence[str | None]) -> tuple[float, ...]:
    """What each example adds to the task metric, which is their mean (`tasks.scoring.shares`); empty unless all were answered."""
    given = [answer for answer in answers if answer is not None]
    return () if len(given) < len(examples) else tuple(shares(metric, given, examples))
