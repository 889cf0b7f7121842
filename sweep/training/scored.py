"""What scoring asks of an adapter, and what it comes to for each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.training.encoding import Encoded


@dataclass(frozen=True, slots=True)
class CompletionLoss:
    """The loss of one completion.

    Attributes:
        nats: sum of the negative log-likelihoods of its tokens.
        tokens: how many tokens it has.
        would_be_answered: whether each of its tokens is the most likely one after those before it, so that decoding
            greedily would give exactly this completion.
    """

    nats: float
    tokens: int
    would_be_answered: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """One of the completions that there are.

    Attributes:
        ids: its tokens, end-of-turn token included.
    """

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How answers come about.

    Attributes:
        max_new_tokens: tokens that a decoded answer may have.
        labels: where there are any, the answer is the one that is likeliest as a whole completion, its end included, and
            nothing is decoded.
    """

    max_new_tokens: int
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """What one adapter comes to.

    Attributes:
        losses: of each example.
        answers: to each example; None where none was asked for.
        seconds: by phase, `score` and `answer`; adapters that are scored together share the time.
    """

    losses: tuple[CompletionLoss, ...]
    answers: tuple[str, ...] | None
    seconds: dict[str, float]


OnScored = Callable[[Literal["score", "answer"], int], None]
"""Told the phase and how many examples of each adapter are done."""


def most_likely(labels: Sequence[Label], nats: Sequence[float]) -> str:
    """The label of the smallest negative log-likelihood; of equal ones the first."""
    return labels[min(range(len(labels)), key=lambda index: nats[index])].text


def is_most_likely(item: Encoded, loss: CompletionLoss, labels: Sequence[Label]) -> bool:
    """Whether the expected completion is a label of more than half of all probability, so that no other is likelier."""
    return loss.nats < _HALF and any(label.ids == item.completion for label in labels)


_HALF = 0.693
"""Just below log 2."""
