"""What the adapter that is handed out costs in general English, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.records import StudyRecord
from sweep.verdict.conclusion import Conclusion, chosen, on_test
from sweep.verdict.general_answers import AnswersChange, change_between, change_on_test


def forgetting_words(record: StudyRecord, conclusion: Conclusion | None) -> Iterator[str]:
    """The rise of its loss on general prose, beside the limit if there is one, and its answers to general questions, as far as known."""
    trial = chosen(record, conclusion)
    measures = trial.measures if trial else None
    if measures is not None and measures.forgetting_loss_delta is not None:
        interval = ""
        if measures.forgetting_low is not None and measures.forgetting_high is not None:
            interval = f" ({measures.forgetting_low:+.3f} to {measures.forgetting_high:+.3f} with 95 % confidence)"
        yield f"Forgetting: the loss on general prose changes by {measures.forgetting_loss_delta:+.3f} nats per token{interval}."
        yield from _beside_limit(record, measures.forgetting_loss_delta)
    answers = _answers(record, conclusion)
    if answers is not None:
        yield (
            f"It answers {answers.right} of {answers.questions} general questions right, the base model {answers.before} "
            f"({100 * answers.low:+.0f} to {100 * answers.high:+.0f} points with 95 % confidence)."
        )


def _beside_limit(record: StudyRecord, rise: float) -> Iterator[str]:
    """A single adapter may be above a limit that its rank is shown to stay below on average."""
    declared = record.certification.declared if record.certification else record.declaration
    if declared.max_forgetting is not None:
        where = "below" if rise < declared.max_forgetting else "not below"
        yield f"This adapter is {where} the limit of {declared.max_forgetting:g} (certify.max_forgetting)."


def _answers(record: StudyRecord, conclusion: Conclusion | None) -> AnswersChange | None:
    """On test, or before that where it was evaluated last; the questions are the same."""
    tested = change_on_test(on_test(record, conclusion))
    trial = chosen(record, conclusion)
    if tested is not None or trial is None:
        return tested
    certification = record.certification
    base = certification.base if conclusion is not None and certification is not None else record.base
    return change_between(base.measures, trial.measures) if base is not None else None
