"""The words at the top of a page; they are made elsewhere, so that terminal and page say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.units import show_bytes
from sweep.records import StudyRecord
from sweep.reports.steps import Step
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.verdict_json import reasons_unjudged
from sweep.verdict.words import NOTHING_CERTIFIED


@dataclass(frozen=True, slots=True)
class Answer:
    """What the study comes to, in words.

    Attributes:
        status: `certified`, `provisional` or `undecided`.
        headline: the answer, a sentence each; the first one stands out.
        reasons: why it is not more certain than it is.
        findings: what else a person should know.
        steps: what to do next.
        warning: what makes the answer on ranks beside the point; stands before it, and is no part of headline and findings.
    """

    status: str
    headline: Sequence[str] = ()
    reasons: Sequence[str] = ()
    findings: Sequence[str] = ()
    steps: Sequence[Step] = ()
    warning: str | None = None


def answer_of(record: StudyRecord, conclusion: Conclusion | None, steps: Sequence[Step] = ()) -> Answer:
    """The conclusion's own words; where there is none, why nothing is decided."""
    if conclusion is None:
        reasons = tuple(reasons_unjudged(record))
        return Answer("undecided", (NOTHING_CERTIFIED, _best(record)), reasons, (), tuple(steps))
    warning = next((finding for finding in conclusion.findings if finding.kind == "metric_not_gained"), None)
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", conclusion.headline)
    return Answer(
        status=conclusion.status,
        headline=sentences[1:] if warning else sentences,
        warning=warning.text if warning else None,
        reasons=conclusion.reasons,
        findings=(
            *(finding.text for finding in conclusion.findings if finding is not warning),
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
        f"Best so far in one run is rank {best.rank}: loss {best.loss:.4f}{points}, an adapter of "
        f"{show_bytes(best.measures.adapter_bytes)}."
    )
