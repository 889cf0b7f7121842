"""Records of evaluation: how to answer, and the loss and answer of each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.training.encoding import Encoded


@dataclass(frozen=True, slots=True)
class CompletionLoss:
    """The loss of one completion.

    Attributes:
        nats: negative log-likelihood, summed over its tokens.
        tokens: number of its tokens.
        would_be_answered: whether each token is the most likely one given those before it, so that greedy decoding
            gives exactly this completion.
    """

    nats: float
    tokens: int
    would_be_answered: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """One class of a classification task, as a completion.

    Attributes:
        ids: its token ids, with the end-of-turn token.
    """

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How the model answers: greedy decoding, or the most likely label.

    Attributes:
        max_new_tokens: maximum number of tokens of a decoded answer.
        labels: if not empty, the answer is the label with the highest likelihood as a whole completion, end-of-turn
            token included, and nothing is decoded.
    """

    max_new_tokens: int
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """Losses and answers of one adapter.

    Attributes:
        losses: one per example.
        answers: one per example; None without an `AnswerRule`.
        seconds: by phase, `score` and `answer`; adapters that share passes share their time equally.
    """

    losses: tuple[CompletionLoss, ...]
    answers: tuple[str, ...] | None
    seconds: dict[str, float]


OnScored = Callable[[Literal["score", "answer"], int], None]
"""Receives the phase and the number of examples done per adapter."""


def most_likely(labels: Sequence[Label], nats: Sequence[float]) -> str:
    """The label with the smallest negative log-likelihood; the first of equal ones."""
    return labels[min(range(len(labels)), key=lambda index: nats[index])].text


def is_most_likely(item: Encoded, loss: CompletionLoss, labels: Sequence[Label]) -> bool:
    """Returns whether the expected completion is a label with a probability above 1/2, so that no other is more likely."""
    return loss.nats < _HALF and any(label.ids == item.completion for label in labels)


_HALF = 0.693
"""Just below log 2."""
