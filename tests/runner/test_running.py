"""A trial's measures from its training and evaluation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sweep.evaluation.evaluator import Evaluation
from sweep.evaluation.forgetting import Forgetting
from sweep.records import ExampleOutcome
from sweep.runner.running import measures_of
from tasks import Example


def test_examples_are_counted_by_kind() -> None:
    kinds = ("dosage", "brand", None, "dosage")
    examples = tuple(Example(prompt="prompt", completion="expected", kind=kind) for kind in kinds)
    outcomes = (ExampleOutcome(1.0, 2, "answer", 1.0),) * 4
    rise = Forgetting(3.0, 0.0, 0.0, 0.0)
    evaluation = Evaluation(
        examples, outcomes, 0.5, 0.1, {"accuracy": 1.0}, rise, (True, False), {"score": 1.0}, 100, "evaluation"
    )
    trial: Any = SimpleNamespace(phases={}, training=None, adapter=None, spec=SimpleNamespace(arm=None))
    base: Any = SimpleNamespace(resident=10, bytes=10, parameters=5)
    measures = measures_of(trial, evaluation, base)
    assert (measures.general_loss, measures.forgetting_loss_delta) == (3.0, None), "the base forgets nothing"
    assert measures.bits_per_byte == 0.1
    assert measures.general_accuracy == 0.5
    assert measures.kinds == {"brand": 1, "dosage": 2}
    assert measures.examples == 4
    assert measures.tokens == 8
    assert (measures.train_seconds, measures.eval_seconds) == (0.0, 1.0)
    assert (measures.peak_bytes, measures.peak_of) == (100, "evaluation")
