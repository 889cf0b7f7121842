"""What a study comes to: the statistics' verdict, what keeps it from being final, and what else is worth knowing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sweep.verdict.compared import LeftOut
from sweep.verdict.kinds import KindScore
from sweep.verdict.record import Verdict

_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know beside the verdict.

    Attributes:
        kind: one of `base_as_good`, `metric_not_gained`, `weak_kinds`, `still_improving`, `overfitting`,
            `metric_disagrees`, `metric_behind`, `wide_margin`, `not_every_rank`, `margin_changed`.
        text: one or two sentences, with the figures.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer of a study.

    Attributes:
        status: `certified`; `provisional` if a rank is certified but a guard (learning rate, changed margin) does not
            hold; or `undecided`.
        rank: the smallest certified rank, None if none is.
        bracket: the smallest rank not excluded, and the rank above (the chosen one, or the ladder's largest); empty where
            there is nothing to compare.
        verdict: the statistics that decide: on completion losses, or with `margin_of=metric` on costs 1 - score; None
            where there is nothing to compute on.
        metric_verdict: the same test on the task metric (costs 1 - score) beside it, where it can be made; None with
            `margin_of=metric`, where `verdict` is that test.
        metric_note: why there is no metric verdict, in words; None if there is one.
        margin_in_loss: the margin in nats a completion token.
        margin_in_metric: about how many points of the task metric (0 to 1) that margin is worth here, None if unknown.
        left_out: ranks of the ladder that could not be compared.
        reasons: why the status is not `certified`, or why the bracket is open; empty if neither.
        headline: the answer in two to four sentences.
        kinds: the task metric on certify over all examples, then on each kind, of the base, the rank whose adapter is handed
            out and the largest; empty where no answers were asked for.
        weak_kinds: those kinds on which that adapter is of little use.
        settle: the command that would settle what is open, and about how long it takes in seconds; None if nothing is.
    """

    status: str
    rank: int | None
    bracket: tuple[int, ...]
    verdict: Verdict | None
    metric_verdict: Verdict | None
    metric_note: str | None
    margin_in_loss: float | None
    margin_in_metric: float | None
    left_out: tuple[LeftOut, ...]
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    headline: str
    kinds: tuple[KindScore, ...]
    weak_kinds: tuple[KindScore, ...]
    settle: tuple[str, float] | None

    def found(self, kind: str) -> bool:
        """Whether there is a finding of this kind."""
        return any(finding.kind == kind for finding in self.findings)

    def notes(self) -> tuple[str, ...]:
        """The findings' sentences that the headline does not have already."""
        texts = (_SENTENCES.split(finding.text) for finding in self.findings)
        left = (" ".join(sentence for sentence in text if sentence not in self.headline) for text in texts)
        return tuple(text for text in left if text)
