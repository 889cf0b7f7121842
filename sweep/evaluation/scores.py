"""What a model does on a set of examples: the loss of the expected completion, and its own answer, one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.errors import TrialFailed
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted
from sweep.training.forward import CompletionLoss
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
    adapted: Adapted,
    encoded: Sequence[Encoded],
    metric: str | None,
    max_new_tokens: int | None,
    on_progress: OnProgress,
) -> Evaluation:
    """Scores the examples: loss of the expected completion, then a greedy answer and the task metric.

    Args:
        metric: the task metric, or None to measure losses only.

    Raises:
        TrialFailed: a loss is not a number.
    """
    total = len(encoded)
    started = time.perf_counter()
    losses = adapted.losses(encoded, lambda done: on_progress("score", done, total))
    loss = mean_loss(losses)
    scored = time.perf_counter()
    if metric is None:
        silent = tuple(_example_score(item, part, None, None) for item, part in zip(encoded, losses, strict=True))
        return Evaluation(silent, loss, {}, {"score": scored - started})
    longest = max_new_tokens or max(len(item.completion) for item in encoded)
    answers = _answers(adapted, encoded, losses, longest, lambda done: on_progress("answer", done, total))
    answered = time.perf_counter()
    scores = tuple(
        _example_score(item, part, answer, metric) for item, part, answer in zip(encoded, losses, answers, strict=True)
    )
    return Evaluation(
        scores, loss, _metrics(metric, encoded, answers), {"score": scored - started, "answer": answered - scored}
    )


def _example_score(item: Encoded, part: CompletionLoss, answer: str | None, metric: str | None) -> ExampleScore:
    example = item.example
    return ExampleScore(
        key=example.key,
        kind=example.kind,
        prompt=example.prompt,
        expected=example.completion,
        answer=answer,
        nats=part.nats,
        tokens=part.tokens,
        score=None
        if answer is None or metric is None
        else score_example(metric, answer, example.completion, example.label),
    )


def _answers(
    adapted: Adapted,
    encoded: Sequence[Encoded],
    losses: Sequence[CompletionLoss],
    longest: int,
    on_progress: Callable[[int], None],
) -> list[str]:
    """The model's answers. Where scoring has shown that greedy decoding gives the expected completion, it is not decoded
    once more; the answer is the same.
    """
    known = {
        index: item.example.completion.strip()
        for index, (item, loss) in enumerate(zip(encoded, losses, strict=True))
        if loss.would_be_answered and len(item.completion) <= longest
    }
    open_ones = [index for index in range(len(encoded)) if index not in known]
    on_progress(len(known))
    decoded = adapted.answers(
        [encoded[index] for index in open_ones],
        longest,
        on_progress=lambda done: on_progress(len(known) + done),
    )
    known.update(zip(open_ones, decoded, strict=True))
    return [known[index] for index in range(len(encoded))]


def mean_loss(losses: Sequence[CompletionLoss]) -> float:
    """Nats a completion token, over all tokens of all examples.

    Raises:
        TrialFailed: the loss is not a number.
    """
    loss = sum(part.nats for part in losses) / sum(part.tokens for part in losses)
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise TrialFailed(f"diverged: the loss after training was {loss}")
    return loss


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
