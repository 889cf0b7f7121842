"""A study's answer from its record: statistics, guards, findings, words, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.records import Certification, Split, StudyRecord
from sweep.verdict import words
from sweep.verdict.bounds import Array
from sweep.verdict.conclusion import Conclusion, best_rank
from sweep.verdict.confirmation import confirmation
from sweep.verdict.cost import cost_words, may_be_cheaper, out_of_order
from sweep.verdict.findings import findings, margin_changed
from sweep.verdict.guards import Edge, edges, flips
from sweep.verdict.headline import headline
from sweep.verdict.judge import judge_looks
from sweep.verdict.kinds import joined_with_test, kinds_on_certify, weakness
from sweep.verdict.ladder import LadderData, certified_ranks, ladder_data
from sweep.verdict.limited import limited, prose_rises
from sweep.verdict.record import LadderBy, MarginOf, Need, State, Verdict
from sweep.verdict.settle import most_work, settle, work_per_rank
from sweep.verdict.task_metric import loss_of_points, metric_not_gained, not_above_lookup, points_of_loss
from sweep.verdict.terms import Terms, terms_of


@dataclass(frozen=True, slots=True)
class _Statistics:
    """What was computed on the certify trials; see the attributes of `Conclusion`."""

    verdict: Verdict | None = None
    metric_verdict: Verdict | None = None
    metric_note: str | None = None
    margin_in_loss: float | None = None
    margin_in_metric: float | None = None
    wider: float | None = None


_WIDER = (1.25, 1.5, 2.0, 3.0, 4.0)
"""Multiples of the margin that are tried."""


def conclude(record: StudyRecord) -> Conclusion | None:
    """The study's answer; None before any rank has a complete trial on certify."""
    certification = record.certification
    if certification is None or not certification.complete_ranks():
        return None
    metric, terms = record.metric, terms_of(certification.declared.ladder)
    data = ladder_data(certification, record.declaration, metric)
    obstacle = _obstacle(certification, data, metric, terms)
    statistics = _statistics(record, certification, data) if obstacle is None else _Statistics()
    verdict, metric_verdict = statistics.verdict, statistics.metric_verdict

    at_edge = edges(certification, verdict) if verdict is not None else []
    rows = tuple(certified_ranks(certification, verdict, metric_verdict, data.left_out))
    cost, chosen_rank = certification.declared.cost, verdict.rank if verdict is not None else None
    disorder = out_of_order(rows, cost) if certification.declared.arms else []
    guarded = (
        *_guarded(record, certification, verdict, at_edge),
        *(words.not_cheapest(pair) for pair in may_be_cheaper(disorder, chosen_rank)),
    )
    status = _status(data, verdict, guarded)
    rank = verdict.rank if verdict is not None and status != "undecided" else None

    chosen = verdict.hands_out if verdict is not None and rank is not None else None
    handed_out = chosen or best_rank(certification, (left.rank for left in data.left_out))
    kinds = kinds_on_certify(metric, certification, handed_out)
    weak = weakness(joined_with_test(kinds, metric, certification, handed_out), certification, handed_out)
    not_gained = metric_not_gained(metric, certification, handed_out)
    lookup = not_above_lookup(metric, certification, handed_out)
    margins = (statistics.margin_in_loss, statistics.margin_in_metric)
    confirmed = confirmation(certification, rank, margins[0]) if rank is not None else None
    notes = findings(
        record, certification, data, verdict, metric_verdict, margins[1], not_gained, lookup, weak, confirmed, disorder
    )
    worth = cost_words(rows, rank, cost) if certification.declared.arms else None
    reasons = [
        *([obstacle] if obstacle else []),
        *([words.pending(data.pending)] if data.pending else []),
        *guarded,
        *(verdict.reasons if verdict is not None else ()),
        *([words.wider_margin(statistics.wider)] if statistics.wider is not None else []),
        *([words.stopped(certification.stopped, terms)] if certification.stopped else []),
    ]
    reasons = list(dict.fromkeys(reasons))  # why seeds are futile is a reason of the verdict, and why the stage stopped
    return Conclusion(
        status=status,
        rank=rank,
        bracket=verdict.bracket if verdict is not None and not verdict.exhausted else (),
        verdict=verdict,
        metric_verdict=metric_verdict,
        metric_note=statistics.metric_note,
        margin_in_loss=statistics.margin_in_loss,
        margin_in_metric=statistics.margin_in_metric,
        ladder=rows,
        left_out=data.left_out,
        reasons=tuple(reasons),
        findings=notes,
        headline=headline(status, verdict, metric, margins, notes, not_gained, lookup, weak, terms, worth),
        kinds=kinds,
        weak_kinds=weak.kinds if weak is not None else (),
        settle=settle(record, certification, data, verdict, at_edge, notes),
        hands_out=handed_out,
        ladder_by=LadderBy(certification.declared.ladder_by),
        confirmation=confirmed,
    )


def _obstacle(certification: Certification, data: LadderData, metric: str, terms: Terms) -> str | None:
    """Why the statistics cannot be computed, in words; None if they can."""
    of = certification.declared.margin_of
    if data.reference is not None and data.reference not in data.ranks:
        return words.no_reference(data.reference, data.left_out, len(certification.complete(data.reference)))
    if len(data.ranks) < 2:
        return words.no_other(data.ranks, terms)
    if of == MarginOf.METRIC and data.costs is None:
        return words.no_metric_test(metric, terms, answers=data.answered)
    if of == MarginOf.GAIN:
        if data.base is None:
            return words.no_base()
        base, means = float(np.average(data.base, weights=data.tokens)), data.mean_losses()
        if base <= min(means):
            return words.no_gain(base, min(means), data.ranks[means.index(min(means))])
    if certification.declared.max_forgetting is not None and prose_rises(certification, data) is None:
        return words.no_prose()
    if not data.looks:
        return words.no_look(min(len(table) for table in data.losses), terms)
    return words.one_seed(terms) if data.looks[-1] < 2 else None


def _statistics(record: StudyRecord, certification: Certification, data: LadderData) -> _Statistics:
    """The verdict on the losses and, if possible, the same test on the task metric; with a margin of the metric, that test alone."""
    declared = certification.declared
    available = record.available.get(Split.CERTIFY.value)
    work = work_per_rank(record, certification)
    ranks = len(data.ranks) if declared.cut_from is None else 1  # `work` is of one rank, or of the whole cut ladder
    most_cost = most_work(record, certification) / ranks
    # whoever raises the limit that was declared first asks for those seeds, however likely they are to decide anything
    most = record.declaration.seeds
    most_seeds = most if most <= declared.seeds else None
    looks = tuple(look for look in data.looks if look >= 2)  # one seed shows nothing

    def on_metric(
        costs: Sequence[Array], margin: float, cost: Callable[[Need], float] | None, most_seeds: int | None
    ) -> Verdict:
        return judge_looks(
            costs,
            data.ranks,
            looks,
            margin=margin,
            margin_of=MarginOf.METRIC.value,
            alpha=declared.alpha,
            extended=certification.extended,
            cost=cost,
            available=available,
            ladder_by=declared.ladder_by,
            most_seeds=most_seeds,
            most_cost=most_cost,
        )

    def with_limit(verdict: Verdict) -> Verdict:
        rises = prose_rises(certification, data)
        if declared.max_forgetting is None or rises is None:
            return verdict
        return limited(verdict, rises, looks, declared.max_forgetting, most_seeds)

    if declared.margin_of == MarginOf.METRIC and data.costs is not None:
        costs = data.costs
        of_metric = with_limit(on_metric(costs, declared.margin, work, most_seeds))
        return _Statistics(
            verdict=of_metric,
            margin_in_loss=loss_of_points(record, declared.margin),
            margin_in_metric=declared.margin,
            wider=_wider(of_metric, lambda margin: on_metric(costs, margin, None, None)),
        )

    def on_losses(margin: float, cost: Callable[[Need], float] | None, most_seeds: int | None) -> Verdict:
        return judge_looks(
            data.losses,
            data.ranks,
            looks,
            margin=margin,
            margin_of=declared.margin_of,
            alpha=declared.alpha,
            base=data.base,
            weights=data.tokens,
            extended=certification.extended,
            cost=cost,
            available=available,
            ladder_by=declared.ladder_by,
            most_seeds=most_seeds,
            most_cost=most_cost,
        )

    verdict = on_losses(declared.margin, work, most_seeds)
    margin_in_metric = points_of_loss(record, verdict.margin_in_loss)
    metric_verdict = None
    if data.costs is not None and margin_in_metric is not None:  # beside the verdict: how to settle it does not matter
        metric_verdict = on_metric(data.costs, margin_in_metric, None, None)
    return _Statistics(
        verdict=(joined := with_limit(verdict)),
        metric_verdict=metric_verdict,
        metric_note=_no_metric_test(data, record.metric, terms_of(declared.ladder), margin_in_metric),
        margin_in_loss=verdict.margin_in_loss,
        margin_in_metric=margin_in_metric,
        wider=_wider(joined, lambda margin: on_losses(margin, None, None)),
    )


def _wider(verdict: Verdict, judged: Callable[[float], Verdict]) -> float | None:
    """Of a margin that cannot be decided at a sensible price, or with these data: a wider one that is decided by what was measured."""
    if verdict.closed or verdict.needed is not None or not (verdict.seeds_needed or verdict.examples_needed):
        return None
    margins = [float(f"{times * verdict.margin:.2g}") for times in _WIDER if times * verdict.margin < 1]
    return next((margin for margin in margins if judged(margin).closed), None)


def _no_metric_test(data: LadderData, metric: str, terms: Terms, margin: float | None) -> str | None:
    if data.costs is None:
        return words.no_metric_test(metric, terms, answers=data.answered)
    return words.no_exchange(metric, terms) if margin is None else None


def _guarded(
    record: StudyRecord, certification: Certification, verdict: Verdict | None, at_edge: list[Edge]
) -> Iterator[str]:
    """Why an answer of the statistics is provisional."""
    yield from map(words.edge, at_edge)
    if verdict is not None:
        yield from map(words.flip, flips(certification, verdict))
    if margin_changed(record, certification):
        yield words.changed(certification.declared, record.declaration)


def _status(data: LadderData, verdict: Verdict | None, guarded: tuple[str, ...]) -> str:
    if verdict is None or verdict.status is not State.CERTIFIED or data.pending:
        return "undecided"
    return "provisional" if guarded else "certified"
