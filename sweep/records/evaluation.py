"""How trials are evaluated: how many examples, how answers are made, how forgetting is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sweep.records.keys import EXAMPLES, Key, Limit

REPORT_EXAMPLES = 32

QUESTIONS = 48
"""The default of `evaluate.general_questions`."""

TRIAL_QUESTIONS = 16
"""The default of `evaluate.trial_questions`: two of each kind, which take less than a second of a core with SmolLM2-135M."""

PARAGRAPHS = 32
"""The paragraphs of general prose that there are (`tasks/general`)."""

LEAST_PARAGRAPHS = 8
"""A limit of forgetting needs as many: with fewer, its test errs more often than declared where a few rise much more than the others."""

FEWEST_CHOSEN = 100
"""Fewer certify examples are chosen only where the data has no more."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How a trial is evaluated.

    Attributes:
        report_examples: tune examples per report to the pruner, `search.report_examples`.
    """

    examples: Annotated[int, Key("maximum number of tune examples to evaluate per trial", EXAMPLES)] = 128
    certify_examples: Annotated[
        int | None,
        Key(
            "maximum number of certify examples to evaluate, for the verdict; null: as many as take a quarter of the training's work, 100 "
            "at least, and more after a look if that decides sooner than more seeds",
            EXAMPLES,
            example="200",
        ),
    ] = None
    test_examples: Annotated[int, Key("maximum number of test examples to evaluate, once at the end", EXAMPLES)] = 200
    report_examples: int = REPORT_EXAMPLES
    max_new_tokens: Annotated[
        int | None,
        Key("maximum tokens per answer; null for the length of the longest expected completion", Limit(1, 1_000_000)),
    ] = None
    general_paragraphs: Annotated[
        int, Key("paragraphs of general prose on which forgetting is measured; 0 to skip it", Limit(0, 10_000))
    ] = 8
    general_questions: Annotated[
        int,
        Key("general questions that adapters and base are asked on test, for forgetting; 0 to skip them", Limit(0, 48)),
    ] = QUESTIONS
    trial_questions: Annotated[
        int,
        Key(
            "of these, how many every trial before that is asked: the first ones, of all kinds; 0 to skip them",
            Limit(0, 48),
        ),
    ] = TRIAL_QUESTIONS
    answers: Annotated[
        str,
        Key(
            "how answers are made: decoded greedily (generate), the likeliest training completion (likelihood), none (losses only), "
            "or auto (likelihood for accuracy and macro_f1 with at most 64 labels, else generate)",
            choices=("auto", "generate", "likelihood", "none"),
        ),
    ] = "auto"
