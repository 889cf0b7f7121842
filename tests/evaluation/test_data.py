"""Which completions are labels, and how answers are made."""

from __future__ import annotations

import pytest

from sweep.evaluation.data import answer_rule, labels_of
from sweep.records import EvaluationSettings
from sweep.training.encoding import Encoded
from tasks import Example


def items(texts: list[str]) -> list[Encoded]:
    return [Encoded(Example(prompt="p", completion=text), (1,), tuple(text.encode())) for text in texts]


FEW = items(["yes", "no", "yes", "no", "maybe", "yes"])
MANY = items([f"text {number}" for number in range(6)])


@pytest.mark.parametrize(
    ("metric", "answers", "train", "labels"),
    [
        ("accuracy", "auto", FEW, ["maybe", "no", "yes"]),
        ("macro_f1", "auto", FEW, ["maybe", "no", "yes"]),
        ("accuracy", "generate", FEW, []),
        ("exact_match", "auto", FEW, []),
        ("exact_match", "likelihood", FEW, ["maybe", "no", "yes"]),
        ("accuracy", "auto", MANY, []),
        ("accuracy", "auto", items(["yes"] * 6), []),
        ("accuracy", "auto", items([f"class {number % 65}" for number in range(650)]), []),
        ("accuracy", "auto", items([f"class {number % 64}" for number in range(640)]), 64),
    ],
)
def test_labels_are_the_classes_of_training(
    metric: str, answers: str, train: list[Encoded], labels: list[str] | int
) -> None:
    texts = [label.text for label in labels_of(metric, answers, train)]
    assert len(texts) == labels if isinstance(labels, int) else texts == labels


def test_answers_can_be_turned_off() -> None:
    assert answer_rule(EvaluationSettings(answers="none"), (), FEW) is None


def test_an_answer_may_be_as_long_as_the_longest_completion() -> None:
    rule = answer_rule(EvaluationSettings(), (), FEW)
    assert rule is not None
    assert rule.max_new_tokens == len("maybe")
    capped = answer_rule(EvaluationSettings(max_new_tokens=3), (), FEW)
    assert capped is not None
    assert capped.max_new_tokens == 3
