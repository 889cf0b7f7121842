"""Scores answers by a task metric: one of `tasks.metrics`, or a function of one's own, `NAME:FUNCTION`.

NAME is a task (the function is in its file), a file of the working directory (`a.b` is `./a/b.py`), or an installed module. The
function takes an answer and its `Example` and returns a number from 0 to 1; over a split, the metric is the mean.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tasks import registry
from tasks.example import DataProblems, Example, Splits
from tasks.execution.program import Program
from tasks.metrics import macro_f1_shares, score_all, score_example
from tasks.own_code import explained, files_behind, importable
from tasks.printable import printable
from tasks.suggest import did_you_mean
from tasks.task import Score

MISSING_CODE = "missing"
_TRIED = 3


def is_own(metric: str) -> bool:
    """Whether the metric is a function of one's own."""
    return ":" in metric


def score_answer(metric: str, answer: str, example: Example) -> float:
    """The score of one answer, from 0 to 1.

    Raises:
        DataProblems: the function of one's own cannot be found, fails, or returns no such number.
    """
    if not is_own(metric):
        return score_example(metric, answer, example.completion, example.label)
    return _scored(metric, function_of(metric), answer, example)


def score_answers(metric: str, answers: Sequence[str], examples: Sequence[Example]) -> float:
    """The metric over a split, from 0 to 1; independent of the order of examples.

    Raises:
        DataProblems: as `score_answer`.
    """
    if not is_own(metric):
        completions, labels = [row.completion for row in examples], [row.label for row in examples]
        return score_all(metric, answers, completions, labels)
    score = function_of(metric)  # once: finding it reads files
    scores = [_scored(metric, score, answer, row) for answer, row in zip(answers, examples, strict=True)]
    return math.fsum(scores) / len(scores)


def shares(metric: str, answers: Sequence[str], examples: Sequence[Example]) -> list[float]:
    """What each example adds to the metric over a split, which is their mean: its score, or what `tasks.metrics.macro_f1_shares` says.

    Raises:
        DataProblems: as `score_answer`.
    """
    if metric == "macro_f1":
        return macro_f1_shares(answers, [row.completion if row.label is None else row.label for row in examples])
    return [score_answer(metric, answer, row) for answer, row in zip(answers, examples, strict=True)]


def scores_by_kind(metric: str, answers: Sequence[str], examples: Sequence[Example]) -> dict[str | None, float]:
    """The metric over the split (None), then over the examples of each kind, by name.

    Raises:
        DataProblems: as `score_answer`.
    """
    scores: dict[str | None, float] = {}
    for kind in (None, *sorted({row.kind for row in examples if row.kind})):
        chosen = [place for place, row in enumerate(examples) if kind is None or row.kind == kind]
        scores[kind] = score_answers(
            metric, [answers[place] for place in chosen], [examples[place] for place in chosen]
        )
    return scores


def _scored(metric: str, score: Score, answer: str, example: Example) -> float:
    with explained(metric, f"task.metric={metric} failed on the answer {_shown(answer)}"):
        value = score(answer, example)
        number = float(value)
    if not 0 <= number <= 1:
        raise DataProblems(
            [f"task.metric={metric}: returned {value!r} for the answer {_shown(answer)}; must be from 0 to 1"]
        )
    return number


def function_of(metric: str) -> Score:
    """The function that a metric of one's own names.

    Raises:
        DataProblems: there is none.
    """
    name, _, function = metric.partition(":")
    module = registry.find(name).module if registry.exists(name) else importable(name)
    found = getattr(module, function, None)
    if not callable(found):
        functions = [
            key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")
        ]
        raise DataProblems(
            [f"task.metric={metric}: {name} has no function '{function}'{did_you_mean(function, functions)}"]
        )
    return cast(Score, found)


def code_hash(metric: str) -> str:
    """A hash of the code that a metric of one's own depends on: after an edit, answers are scored again. 16 hex digits.

    The code is that of `files_behind` its function, with the folders of each `Program` in the function's module.
    """
    try:
        function = inspect.unwrap(function_of(metric))
        programs = [each for each in getattr(function, "__globals__", {}).values() if isinstance(each, Program)]
        folders = [folder for program in programs for folder in program.folders]
        files = files_behind(Path(str(inspect.getsourcefile(function))), folders)
        return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()[:16]
    except (DataProblems, TypeError, OSError):  # as for a record whose function is gone
        return MISSING_CODE


def try_on(metric: str, splits: Splits) -> None:
    """Scores right and empty answers to a few examples with a metric of one's own, so that mistakes in it come before any training.

    Raises:
        DataProblems: lists what failed.
    """
    if not is_own(metric):
        return
    function_of(metric)
    problems: dict[str, str] = {}
    failed = 0
    for example in _few(splits):
        for answer in (example.completion, ""):
            try:
                score_answer(metric, answer, example)
            except DataProblems as error:
                failed += 1
                for problem in error.problems:
                    # the same failure on another answer is no other problem
                    problems.setdefault(problem.replace(printable(_shown(answer)), ""), problem)
    if problems:
        tried = 2 * len(_few(splits))
        raise DataProblems(
            [*problems.values(), f"task.metric={metric}: failed on {failed} of {tried} answers that were tried"]
        )


def _few(splits: Splits) -> Sequence[Example]:
    return (*splits.tune[:_TRIED], *splits.certify[:_TRIED], *splits.test[:_TRIED])


def _shown(answer: str) -> str:
    return repr(answer if len(answer) <= 40 else f"{answer[:40]}...")
