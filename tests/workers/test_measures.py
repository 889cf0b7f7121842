"""A trial's figures from its course and its scores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sweep.evaluation.scores import Evaluation, ExampleScore
from sweep.workers.measures import measures_of
from sweep.workers.scorer import Scored


def example(kind: str | None) -> ExampleScore:
    return ExampleScore("key", kind, "prompt", "expected", "answer", 1.0, 2, 1.0)


def test_examples_are_counted_by_kind() -> None:
    scores = tuple(example(kind) for kind in ("dosage", "brand", None, "dosage"))
    scored = Scored(Evaluation(scores, 0.5, {"accuracy": 1.0}, {}), 100, "training", None)
    course: Any = SimpleNamespace(phases={"score": 1.0}, training=None, spec=SimpleNamespace(arm=None))
    base: Any = SimpleNamespace(resident=10, bytes=10, parameters=5)
    found = measures_of(course, scored, base, parameters=0, adapter_bytes=0, general_before=None)
    assert found.kinds == {"brand": 1, "dosage": 2}
    assert found.examples == 4
    assert (found.train_seconds, found.eval_seconds) == (0.0, 1.0)
