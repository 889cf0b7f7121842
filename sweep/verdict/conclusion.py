"""A study's answer: the verdict of the statistics, what keeps it from being final, and the adapter that is handed out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from sweep.records import Certification, CompletedTrial, EvaluatedTrial, StudyRecord
from sweep.verdict.confirmation import Confirmation
from sweep.verdict.kinds import KindScore, kind_scores
from sweep.verdict.ladder import LeftOut, RankResult, explored_ranks
from sweep.verdict.record import LadderBy, Verdict

SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Experiment:
    """A study that would tell more: the command to copy, and its purpose."""

    command: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know beside the verdict.

    Attributes:
        kind: one of `base_as_good`, `metric_not_gained`, `nearest_example_better`, `nearest_example_as_good`, `weak_kinds`,
            `forgets_too_much`, `still_improving`, `data_too_small`, `full_not_tried`, `overfitting`, `metric_disagrees`, `metric_behind`,
            `wide_margin`, `seen_before`, `not_every_rank`, `margin_changed`; of a cut ladder also `cut_is_better` and `confirmation`, of a
            ladder of arms `far_from_full` and `cost_order`.
        text: one to three sentences, with the figures.
        next: the experiment that follows from it; None if none does.
        figures: what it rests on, by name; None where the text has it all.
    """

    kind: str
    text: str
    next: Experiment | None = None
    figures: Mapping[str, float] | None = None


BEFORE_ANY_RANK = ("metric_not_gained", "nearest_example_better", "nearest_example_as_good")
"""Kinds of findings that matter more than which rank is enough."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer of a study.

    Attributes:
        status: `certified`; `provisional` if a rank is certified but a guard (learning rate, changed margin) does not
            hold; or `undecided`.
        rank: the smallest certified rank, None if none is.
        bracket: the smallest rank not excluded, and the chosen rank, or the ladder's largest if none is chosen; empty if
            nothing can be compared.
        verdict: the statistics that decide: on completion losses, or with `margin_of=metric` on costs 1 - score; None
            if they cannot be computed.
        metric_verdict: the same test on the task metric (costs 1 - score) beside it, if possible; None with
            `margin_of=metric`, where `verdict` is that test.
        metric_note: why there is no metric verdict, in words; None if there is one.
        margin_in_loss: the margin in nats per completion token.
        margin_in_metric: about how many points of the task metric (0 to 1) that margin is worth here, None if unknown.
        ladder: the ranks that were compared, ascending.
        left_out: ranks of the ladder that could not be compared.
        reasons: why the status is not `certified`, or why the bracket is open; empty if neither.
        headline: the answer in two to five sentences.
        kinds: the task metric on certify over all examples, then on each kind, of the base, of the rank whose adapter is
            handed out and of the largest; empty if no answers were written.
        weak_kinds: those kinds on which that adapter is of little use.
        settle: the command that would settle what is open, and about how many seconds it takes; None if nothing is open.
        hands_out: the rank whose adapter is handed out: the chosen one, unless another cut is better; without a chosen one, the rank
            with the lowest mean on certify.
        ladder_by: `cut` or `train`: what the answer is about.
        confirmation: the chosen rank trained from the start, beside its cut adapters; None if it was not.
    """

    status: str
    rank: int | None
    bracket: tuple[int, ...]
    verdict: Verdict | None
    metric_verdict: Verdict | None
    metric_note: str | None
    margin_in_loss: float | None
    margin_in_metric: float | None
    ladder: tuple[RankResult, ...]
    left_out: tuple[LeftOut, ...]
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    headline: str
    kinds: tuple[KindScore, ...]
    weak_kinds: tuple[KindScore, ...]
    settle: tuple[str, float] | None
    hands_out: int
    ladder_by: LadderBy = LadderBy.TRAIN
    confirmation: Confirmation | None = None

    def has_finding(self, kind: str) -> bool:
        """Whether there is a finding of this kind."""
        return any(finding.kind == kind for finding in self.findings)

    def notes(self) -> tuple[str, ...]:
        """The findings' sentences that the headline does not have already."""
        texts = (SENTENCES.split(finding.text) for finding in self.findings)
        left = (" ".join(sentence for sentence in text if sentence not in self.headline) for text in texts)
        return tuple(text for text in left if text)


def rank_results(record: StudyRecord, conclusion: Conclusion | None) -> tuple[RankResult, ...]:
    """The ranks that were compared, ascending; if nothing was certified, those with a complete explored trial.

    Of a search over methods none: ranks of different methods are no ladder.
    """
    if conclusion is not None:
        return conclusion.ladder
    return tuple(explored_ranks(record)) if len(record.methods()) == 1 else ()


def chosen(record: StudyRecord, conclusion: Conclusion | None) -> CompletedTrial | None:
    """The trial whose adapter is handed out; None if the study has no complete trial.

    It is the certify trial of the rank `Conclusion.hands_out` with the lowest loss on certify; if nothing was certified, the best
    explored trial.
    """
    certification = record.certification
    if conclusion is None or certification is None:
        return record.best()
    return min(certification.complete(conclusion.hands_out), key=lambda trial: trial.loss)


def best_rank(certification: Certification, left_out: Iterable[int]) -> int:
    """The rank with the lowest mean loss on certify, of those that could be compared if there are any."""
    trained = certification.complete_ranks()
    unfit = set(left_out)
    comparable = [rank for rank in trained if rank not in unfit]
    return min(comparable or trained, key=lambda rank: (_mean_loss(certification.complete(rank)), rank))


def _mean_loss(trials: list[CompletedTrial]) -> float:
    """Rounded, so that of equal ranks the smaller one is taken."""
    return round(fmean(trial.loss for trial in trials), 12)


def on_test(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, EvaluatedTrial]:
    """The test trials of `base`, `goldilocks` (the rank whose adapter is handed out) and `largest`, as far as they exist."""
    certification = record.certification
    if certification is None or conclusion is None:
        return {}
    tested = certification.on_test()
    handed_out = chosen(record, conclusion)
    places = {
        "base": 0,
        "goldilocks": certification.rung_of(handed_out) if handed_out else None,
        "largest": max((rank for rank in tested if rank > 0), default=None),
    }
    return {name: tested[rank] for name, rank in places.items() if rank is not None and rank in tested}


def kinds_on_test(record: StudyRecord, conclusion: Conclusion | None) -> tuple[KindScore, ...]:
    """The task metric on test over all examples, then on each kind; empty before the test stage."""
    tested = on_test(record, conclusion)
    own, largest = tested.get("goldilocks"), tested.get("largest")
    if own is None:
        return ()
    return kind_scores(record.metric, tested.get("base"), [own], [largest] if largest else [])
