"""What a model does on a set of examples: the loss of the expected completion, and its own answer, one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.errors import TrialDiverged, TrialFailed
from sweep.store.scores import ScoredExample
from sweep.training.encoding import Encoded
from sweep.training.scored import CompletionLoss
from tasks.metrics import score_all, score_example

OnProgress = Callable[[str, int, int], None]
"""Told the phase (`score` or `answer`), how many examples are done, and of how many."""


@dataclass(frozen=True, slots=True)
class ExampleScore:
    """One example's outcome.

    Attributes:
        key: the example's content identity.
        nats: negative log-likelihood of the expected completion, summed over its tokens.
        answer: what the model wrote, or None where it was not asked.
        score: the task metric's value for this example, 0 to 1; None without an answer.
    """

    key: str
    kind: str | None
    prompt: str
    expected: str
    answer: str | None
    nats: float
    tokens: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome on all examples.

    Attributes:
        loss: nats a completion token, over all tokens of all examples.
        metrics: the task metric under its name, and under `name/kind` for each kind of example; empty without answers.
        phases: seconds in `score` and `answer`.
    """

    scores: tuple[ExampleScore, ...]
    loss: float
    metrics: dict[str, float]
    phases: dict[str, float]


def evaluation_of(
    encoded: Sequence[Encoded], scored: Sequence[ScoredExample], metric: str, seconds: Mapping[str, float]
) -> Evaluation | TrialFailed:
    """The outcome on examples that were scored under one adapter; a `TrialFailed` where a loss is not a number.

    Args:
        scored: of each example; either all have an answer or none.
        seconds: by phase, what scoring took.
    """
    loss = loss_or_failure(scored)
    if isinstance(loss, TrialFailed):
        return loss
    answers = [one.answer for one in scored if one.answer is not None]
    return Evaluation(
        tuple(_example_score(item, one, metric) for item, one in zip(encoded, scored, strict=True)),
        loss,
        _metrics(metric, encoded, answers) if len(answers) == len(encoded) else {},
        dict(seconds),
    )


def _example_score(item: Encoded, one: ScoredExample, metric: str) -> ExampleScore:
    example, answer = item.example, one.answer
    return ExampleScore(
        key=example.key,
        kind=example.kind,
        prompt=example.prompt,
        expected=example.completion,
        answer=answer,
        nats=one.nats,
        tokens=one.tokens,
        score=None if answer is None else score_example(metric, answer, example.completion, example.label),
    )


def mean_loss(losses: Sequence[CompletionLoss | ScoredExample]) -> float:
    """Nats a completion token, over all tokens of all examples.

    Raises:
        TrialFailed: the loss is not a number.
    """
    loss = loss_or_failure(losses)
    if isinstance(loss, TrialFailed):
        raise loss
    return loss


def loss_or_failure(losses: Sequence[CompletionLoss | ScoredExample]) -> float | TrialFailed:
    """As `mean_loss`, with the failure returned: among adapters that are scored together it is one's own."""
    loss = sum(part.nats for part in losses) / sum(part.tokens for part in losses)
    return loss if math.isfinite(loss) else TrialDiverged(f"diverged: the loss after training was {loss}")


def write_scores(scores: Sequence[ExampleScore], file: Path) -> None:
    """One JSON object a line."""
    file.write_text("".join(f"{json.dumps(asdict(score), ensure_ascii=False)}\n" for score in scores), encoding="utf-8")


def _metrics(metric: str, encoded: Sequence[Encoded], answers: Sequence[str]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    kinds = sorted({item.example.kind for item in encoded if item.example.kind})
    for kind in (None, *kinds):
        chosen = [index for index, item in enumerate(encoded) if kind is None or item.example.kind == kind]
        examples = [encoded[index].example for index in chosen]
        metrics[metric if kind is None else f"{metric}/{kind}"] = score_all(
            metric,
            [answers[index] for index in chosen],
            [example.completion for example in examples],
            [example.label for example in examples],
        )
    return metrics
