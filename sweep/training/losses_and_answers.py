"""How to answer, and the loss and answer of each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.records import ExampleOutcome
from sweep.training.encoding import Encoded


@dataclass(frozen=True, slots=True)
class CompletionLoss:
    """The loss of one completion.

    Attributes:
        nats: negative log-likelihood, summed over its tokens.
        tokens: number of its tokens.
        is_greedy_answer: whether each token is the most likely one given those before it, so that greedy decoding
            gives exactly this completion.
        first: log-probabilities, directly after the prompt, of the tokens that were asked for.
    """

    nats: float
    tokens: int
    is_greedy_answer: bool = False
    first: tuple[float, ...] = ()


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
        kinds: the kind of each label; if given, the expected completion is compared with the other labels of its own kind alone, and it is
            enough to know whether it is the most likely of them: where it is not, the answer is one that is more likely.
    """

    max_new_tokens: int
    labels: tuple[Label, ...] = ()
    kinds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterOutcomes:
    """Losses and answers of one adapter.

    Attributes:
        outcomes: one per example, not scored yet; without answers if there is no `AnswerRule`.
        seconds: by phase, `score` (losses) and `answer`; adapters that share passes share their time equally.
    """

    outcomes: tuple[ExampleOutcome, ...]
    seconds: dict[str, float]

    @classmethod
    def of(
        cls, losses: Sequence[CompletionLoss], answers: Sequence[str] | None, seconds: dict[str, float]
    ) -> AdapterOutcomes:
        """Joins losses and answers of the same examples."""
        texts = [None] * len(losses) if answers is None else answers
        pairs = zip(losses, texts, strict=True)
        return cls(tuple(ExampleOutcome(loss.nats, loss.tokens, text) for loss, text in pairs), seconds)


OnEvaluated = Callable[[Literal["score", "answer"], int], None]
"""Receives the phase and the number of examples done per adapter."""


def most_likely(labels: Sequence[Label], nats: Sequence[float]) -> str:
    """The label with the smallest negative log-likelihood; the first of equal ones."""
    return labels[min(range(len(labels)), key=lambda index: nats[index])].text


def is_most_likely(item: Encoded, loss: CompletionLoss, labels: Sequence[Label]) -> bool:
    """Returns whether the expected completion is a label with a probability above 1/2, so that no other is more likely."""
    return loss.nats < _HALF and any(label.ids == item.completion for label in labels)


_HALF = 0.693
"""Just below log 2."""
