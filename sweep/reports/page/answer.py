"""The words at the top of a page, from the same source as those in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.units import show_bytes
from sweep.methods import arm_words
from sweep.records import StudyRecord
from sweep.reports.steps import Step
from sweep.verdict import words
from sweep.verdict.conclusion import BEFORE_ANY_RANK, SENTENCES, Conclusion
from sweep.verdict.terms import terms_of
from sweep.verdict.verdict_json import reasons_unjudged


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a study, in words.

    Attributes:
        status: `certified`, `provisional` or `undecided`.
        headline: the answer, sentence by sentence; the first ones are set larger.
        reasons: why the status is not `certified`, or what is still open.
        findings: what else a person should know.
        steps: what to do next.
        warnings: findings that matter more than the rank; shown first, and not part of headline and findings.
    """

    status: str
    headline: Sequence[str] = ()
    reasons: Sequence[str] = ()
    findings: Sequence[str] = ()
    steps: Sequence[Step] = ()
    warnings: Sequence[str] = ()


def answer_of(record: StudyRecord, conclusion: Conclusion | None, steps: Sequence[Step] = ()) -> Answer:
    """The words of the conclusion; without one, why nothing is decided."""
    if conclusion is None:
        reasons = tuple(reasons_unjudged(record))
        return Answer(
            "undecided",
            (words.nothing_certified(terms_of(record.declaration.ladder)), _best(record)),
            reasons,
            (),
            tuple(steps),
        )
    warnings = tuple(finding.text for finding in conclusion.findings if finding.kind in BEFORE_ANY_RANK)
    sentences = SENTENCES.split(conclusion.headline)
    return Answer(
        status=conclusion.status,
        headline=[sentence for sentence in sentences if not any(sentence in text for text in warnings)],
        warnings=warnings,
        reasons=conclusion.reasons,
        findings=(
            *(finding.text for finding in conclusion.findings if finding.kind not in BEFORE_ANY_RANK),
            *((conclusion.metric_note,) if conclusion.metric_note else ()),
        ),
        steps=tuple(steps),
    )


def _best(record: StudyRecord) -> str:
    best = record.best()
    if best is None:
        return "No trial is complete."
    score = best.metric(record.metric)
    points = f", {record.metric} {score:.3f}" if score is not None else ""
    return (
        f"Best so far in one run is {arm_words(best.arm)}: loss {best.loss:.4f}{points}, an adapter of "
        f"{show_bytes(best.measures.adapter_bytes)}."
    )
