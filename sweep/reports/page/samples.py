"""Samples of answers on the test split: what the base model and the adapter wrote, beside what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from sweep.records import StudyRecord
from sweep.verdict.conclusion import Conclusion, on_test

MOST_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, and the score of it."""

    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One test example with the answers of both models.

    Attributes:
        kind: the kind of the example; None if the task has none.
    """

    prompt: str
    expected: str
    kind: str | None
    base: Answer
    adapter: Answer


def samples(
    record: StudyRecord, conclusion: Conclusion | None, scores_of: Callable[[str], Path], count: int = MOST_SAMPLES
) -> tuple[Sample, ...]:
    """The first test examples of each kind, in turn: chosen by their place alone, not by how well they were answered.

    Args:
        scores_of: the scores.jsonl of a trial by its identity; without both files there are no samples.
    """
    of_kind: dict[str | None, list[Sample]] = {}
    for sample in answer_pairs(record, conclusion, scores_of):
        of_kind.setdefault(sample.kind, []).append(sample)
    in_turn = chain.from_iterable(zip_longest(*of_kind.values()))
    return tuple(islice((sample for sample in in_turn if sample is not None), count))


def answer_pairs(
    record: StudyRecord, conclusion: Conclusion | None, scores_of: Callable[[str], Path]
) -> Iterator[Sample]:
    """All test examples that base and adapter answered, in the order of the data.

    Args:
        scores_of: see `samples`.
    """
    tested = on_test(record, conclusion)
    if "base" not in tested or "goldilocks" not in tested:
        return
    ours = _answered(scores_of(tested["goldilocks"].identity))
    before = _answered(scores_of(tested["base"].identity))
    for key, row in ours.items():
        if key in before:
            prompt, expected = str(row["prompt"]), str(row["expected"])
            yield Sample(prompt, expected, row.get("kind"), _answer(before[key]), _answer(row))


def _answered(file: Path) -> Mapping[str, dict[str, Any]]:
    """The examples that were answered, by key."""
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        needed = ("prompt", "expected", "answer")
        return {str(row["key"]): row for row in rows if all(row[name] is not None for name in needed)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _answer(row: Mapping[str, Any]) -> Answer:
    return Answer(str(row["answer"]), row.get("score"))
