"""From outcomes of examples to loss, scores and metrics."""

from __future__ import annotations

import math

import pytest

from sweep.errors import TrialDiverged
from sweep.evaluation.aggregate import bits_per_byte, mean_loss, metrics_of, with_score
from sweep.records import ExampleOutcome
from tasks import Example

EXAMPLES = [
    Example(prompt="a", completion="red", kind="colour"),
    Example(prompt="b", completion="blue", kind="colour"),
    Example(prompt="c", completion="7"),
]


def test_the_loss_is_per_token_over_all_examples() -> None:
    assert mean_loss([ExampleOutcome(3.0, 1), ExampleOutcome(1.0, 3)]) == 1.0


def test_bits_per_byte_do_not_depend_on_the_tokens() -> None:
    texts = ["red", "größe"]  # 3 and 7 bytes
    assert bits_per_byte(texts, [ExampleOutcome(2.0, 1), ExampleOutcome(3.0, 2)]) == pytest.approx(5 / math.log(2) / 10)
    assert bits_per_byte(texts, [ExampleOutcome(2.0, 7), ExampleOutcome(3.0, 5)]) == pytest.approx(5 / math.log(2) / 10)


def test_empty_texts_have_no_bits_per_byte() -> None:
    assert bits_per_byte([""], [ExampleOutcome(1.0, 1)]) is None


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error(nats: float) -> None:
    with pytest.raises(TrialDiverged, match=f"diverged: the loss after training was {nats}"):
        mean_loss([ExampleOutcome(1.0, 1), ExampleOutcome(nats, 1)])


def test_an_answer_is_scored_and_without_one_there_is_no_score() -> None:
    assert with_score("exact_match", EXAMPLES[0], ExampleOutcome(1.0, 1, "red")).score == 1.0
    assert with_score("exact_match", EXAMPLES[0], ExampleOutcome(1.0, 1, "blue")).score == 0.0
    assert with_score("exact_match", EXAMPLES[0], ExampleOutcome(1.0, 1)) == ExampleOutcome(1.0, 1)


def test_metrics_are_of_all_examples_and_of_each_kind() -> None:
    answers = ["red", "green", "7"]
    assert metrics_of("exact_match", EXAMPLES, answers) == {
        "exact_match": pytest.approx(2 / 3),
        "exact_match/colour": 0.5,
    }
    assert metrics_of("exact_match", EXAMPLES, [*answers[:2], None]) == {}
