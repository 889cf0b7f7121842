"""A study's answer from its records: statistics, guards, findings, words, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sweep.records import Certification, Split, StudyRecord
from sweep.verdict import words
from sweep.verdict.conclusion import Conclusion, best_rank
from sweep.verdict.exchange import loss_of_points, points_of_loss
from sweep.verdict.findings import findings, margin_changed
from sweep.verdict.gained import metric_not_gained
from sweep.verdict.guards import Edge, edges, flips
from sweep.verdict.judge import judge_looks
from sweep.verdict.kinds import joined_with_test, kinds_on_certify, weakness
from sweep.verdict.ladder import LadderData, certified_ranks, ladder_data
from sweep.verdict.record import MarginOf, State, Verdict
from sweep.verdict.settle import seconds_a_rank, settle


def conclude(record: StudyRecord) -> Conclusion | None:
    """The study's answer; None before any rank has a complete trial on certify."""
    certification = record.certification
    if certification is None or not certification.complete_ranks():
        return None
    declared = certification.declared
    given = ladder_data(certification, record.declaration, record.metric)
    obstacle = _obstacle(certification, given, record.metric)
    by_metric = declared.margin_of == MarginOf.METRIC
    verdict = metric_verdict = margin_in_loss = margin_in_metric = None
    note: str | None = None
    if obstacle is None:
        verdict = (
            _judged_on_metric(given, declared.margin, declared.alpha, record, decides=True)
            if by_metric
            else _judged(given, certification, record)
        )
        margin_in_loss = loss_of_points(record, declared.margin) if by_metric else verdict.margin_in_loss
        margin_in_metric = declared.margin if by_metric else points_of_loss(record, verdict.margin_in_loss)
        if not by_metric:
            note = _no_metric_test(given, record.metric, margin_in_metric)
            if note is None and margin_in_metric is not None:
                metric_verdict = _judged_on_metric(given, margin_in_metric, declared.alpha, record, decides=False)
    at_edge = edges(certification, verdict) if verdict is not None else []
    guarded = tuple(_guarded(record, certification, verdict, at_edge))
    status = _status(given, verdict, guarded)
    rank = verdict.rank if verdict is not None and status != "undecided" else None
    handed_out = rank or best_rank(certification, (left.rank for left in given.left_out))
    kinds = kinds_on_certify(record.metric, certification, handed_out)
    judged = joined_with_test(kinds, record.metric, certification, handed_out)
    weak = weakness(judged, certification, handed_out)
    not_gained = metric_not_gained(record.metric, given, certification, handed_out)
    found = findings(record, given, verdict, metric_verdict, margin_in_metric, not_gained, weak)
    reasons = [
        *([obstacle] if obstacle else []),
        *([words.pending(given.pending)] if given.pending else []),
        *guarded,
        *(verdict.reasons if verdict is not None else ()),
        *([words.stopped(certification.stopped)] if certification.stopped else []),
    ]
    return Conclusion(
        status=status,
        rank=rank,
        bracket=verdict.bracket if verdict is not None else (),
        verdict=verdict,
        metric_verdict=metric_verdict,
        metric_note=note,
        margin_in_loss=margin_in_loss,
        margin_in_metric=margin_in_metric,
        ladder=tuple(certified_ranks(certification, verdict, metric_verdict, given.left_out)),
        left_out=given.left_out,
        reasons=tuple(reasons),
        findings=found,
        headline=words.headline(
            status, verdict, record.metric, (margin_in_loss, margin_in_metric), found, not_gained, weak
        ),
        kinds=kinds,
        weak_kinds=weak.kinds if weak is not None else (),
        settle=settle(record, given, verdict, at_edge, found),
    )


def _obstacle(certification: Certification, given: LadderData, metric: str) -> str | None:
    """Why nothing can be computed, in words; None if something can."""
    of = certification.declared.margin_of
    if len(given.ranks) < 2:
        return words.no_other(given.ranks)
    if of == MarginOf.METRIC and given.costs is None:
        return words.no_metric_test(metric, answers=given.answered)
    if of == MarginOf.GAIN:
        if given.base is None:
            return words.no_base()
        base, means = float(np.average(given.base, weights=given.tokens)), given.mean_losses()
        if base <= min(means):
            return words.no_gain(base, min(means), given.ranks[means.index(min(means))])
    if not given.looks:
        return words.no_look(min(len(table) for table in given.losses))
    return words.one_seed() if given.looks[-1] < 2 else None


def _judged(given: LadderData, certification: Certification, record: StudyRecord) -> Verdict:
    declared = certification.declared
    return judge_looks(
        given.losses,
        given.ranks,
        _from_two(given),
        margin=declared.margin,
        margin_of=declared.margin_of,
        alpha=declared.alpha,
        base=given.base,
        weights=given.tokens,
        extended=certification.extended,
        cost=seconds_a_rank(record, certification),
        available=record.available.get(Split.CERTIFY.value),
    )


def _judged_on_metric(given: LadderData, margin: float, alpha: float, record: StudyRecord, *, decides: bool) -> Verdict:
    """The test on the task metric; what would settle it is asked only where it decides."""
    assert given.costs is not None
    assert record.certification is not None
    return judge_looks(
        given.costs,
        given.ranks,
        _from_two(given),
        margin=margin,
        margin_of=MarginOf.METRIC.value,
        alpha=alpha,
        extended=record.certification.extended,
        cost=seconds_a_rank(record, record.certification) if decides else None,
        available=record.available.get(Split.CERTIFY.value),
    )


def _from_two(given: LadderData) -> tuple[int, ...]:
    """One seed shows nothing, so a look at one is none."""
    return tuple(look for look in given.looks if look >= 2)


def _no_metric_test(given: LadderData, metric: str, margin: float | None) -> str | None:
    if given.costs is None:
        return words.no_metric_test(metric, answers=given.answered)
    return words.no_exchange(metric) if margin is None else None


def _guarded(
    record: StudyRecord, certification: Certification, verdict: Verdict | None, at_edge: list[Edge]
) -> Iterator[str]:
    """Why an answer is not final although the statistics have one."""
    yield from (words.edge(found) for found in at_edge)
    if verdict is not None:
        yield from (words.flip(found) for found in flips(certification, verdict))
    if margin_changed(record, certification):
        yield words.changed(certification.declared, record.declaration)


def _status(given: LadderData, verdict: Verdict | None, guarded: tuple[str, ...]) -> str:
    if verdict is None or verdict.status is not State.CERTIFIED or given.pending:
        return "undecided"
    return "provisional" if guarded else "certified"
