"""What a model does on a set of examples: the loss of the expected completion, and its own answer, one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.errors import TrialFailed
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted, Engine
from sweep.training.scored import AnswerRule, CompletionLoss, Scores
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


def evaluate(
    engine: Engine,
    adapted: Sequence[Adapted],
    encoded: Sequence[Encoded],
    metric: str,
    rule: AnswerRule | None,
    on_progress: OnProgress,
) -> list[Evaluation | TrialFailed]:
    """Scores the examples under each adapter: loss of the expected completion, then an answer and the task metric.

    Args:
        rule: how answers come about, or None to measure losses only.

    Returns, in the order of `adapted`, what each came to; a `TrialFailed` where a loss is not a number.
    """
    total = len(encoded)
    found = engine.score(adapted, encoded, rule, lambda phase, done: on_progress(phase, done, total))
    return [_evaluation(encoded, scores, metric) for scores in found]


def _evaluation(encoded: Sequence[Encoded], scores: Scores, metric: str) -> Evaluation | TrialFailed:
    loss = loss_or_failure(scores.losses)
    if isinstance(loss, TrialFailed):
        return loss
    answers = scores.answers
    told = [None] * len(encoded) if answers is None else answers
    rows = zip(encoded, scores.losses, told, strict=True)
    return Evaluation(
        tuple(_example_score(item, part, answer, metric) for item, part, answer in rows),
        loss,
        {} if answers is None else _metrics(metric, encoded, answers),
        scores.seconds,
    )


def _example_score(item: Encoded, part: CompletionLoss, answer: str | None, metric: str) -> ExampleScore:
    example = item.example
    return ExampleScore(
        key=example.key,
        kind=example.kind,
        prompt=example.prompt,
        expected=example.completion,
        answer=answer,
        nats=part.nats,
        tokens=part.tokens,
        score=None if answer is None else score_example(metric, answer, example.completion, example.label),
    )


def mean_loss(losses: Sequence[CompletionLoss]) -> float:
    """Nats a completion token, over all tokens of all examples.

    Raises:
        TrialFailed: the loss is not a number.
    """
    loss = loss_or_failure(losses)
    if isinstance(loss, TrialFailed):
        raise loss
    return loss


def loss_or_failure(losses: Sequence[CompletionLoss]) -> float | TrialFailed:
    """As `mean_loss`, with the failure returned: among adapters that are scored together it is one's own."""
    loss = sum(part.nats for part in losses) / sum(part.tokens for part in losses)
    return loss if math.isfinite(loss) else TrialFailed(f"diverged: the loss after training was {loss}")


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
