"""One example under one adapter: from the engine through the cache and scores.jsonl to the verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExampleOutcome:
    """What one adapter does on one example.

    Attributes:
        nats: negative log-likelihood of the expected completion, summed over its tokens.
        tokens: number of tokens of the expected completion.
        answer: the text that the model wrote; None where no answer was asked for.
        score: the task metric of the answer, 0 to 1; None without an answer, and before it is scored.
    """

    nats: float
    tokens: int
    answer: str | None = None
    score: float | None = None
