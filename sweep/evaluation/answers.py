"""How answers come about: decoded, or for a task of few labels the likeliest label."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.records import Scoring
from sweep.training.encoding import Encoded
from sweep.training.scored import AnswerRule, Label
from tasks.metrics import LABEL_METRICS

MOST_LABELS = 64
"""More classes than this cost more to compare than an answer costs to decode."""

_EXAMPLES_A_LABEL = 2
"""Completions that come up fewer times than this on average are texts rather than classes."""


class Answers:
    """What `evaluate.answers` comes to on a task's data.

    Args:
        train: the training examples, whose completions are the classes.
    """

    def __init__(self, metric: str, scoring: Scoring, train: Sequence[Encoded]) -> None:
        self._scoring = scoring
        self._labels = _labels(metric, scoring.answers, train)

    def rule(self, scored: Sequence[Encoded]) -> AnswerRule | None:
        """The rule for these examples; None where no answers are wanted."""
        if self._scoring.answers == "none":
            return None
        longest = self._scoring.max_new_tokens or max(len(item.completion) for item in scored)
        return AnswerRule(longest, self._labels)


def _labels(metric: str, answers: str, train: Sequence[Encoded]) -> tuple[Label, ...]:
    if answers not in ("auto", "likelihood"):
        return ()
    found = {item.completion: Label(item.example.completion.strip(), item.completion) for item in train}
    labels = tuple(found[ids] for ids in sorted(found))
    few = 2 <= len(labels) <= min(MOST_LABELS, len(train) // _EXAMPLES_A_LABEL)
    return labels if answers == "likelihood" or (metric in LABEL_METRICS and few) else ()
