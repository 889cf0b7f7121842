"""What a person should know beside the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from sweep.records import Certification, Declaration, Rung, StudyRecord
from sweep.verdict import experiments, finding_words, words
from sweep.verdict.bounds import least_gains
from sweep.verdict.conclusion import Finding
from sweep.verdict.confirmation import Confirmation
from sweep.verdict.cost import OutOfOrder
from sweep.verdict.kinds import Weakness
from sweep.verdict.ladder import LadderData
from sweep.verdict.limit_findings import limit_findings
from sweep.verdict.limits import DIFFERENCE, lower_bound
from sweep.verdict.record import LadderBy, MarginOf, RankVerdict, State, Verdict
from sweep.verdict.task_metric import Lookup, NotGained

WIDE = 0.05
"""A margin worth more points of the task metric than this is reported as wide."""

USUAL = 0.02
"""The margin that is proposed instead, in points of the task metric."""

LEAST = 0.01
"""A rank that is behind by fewer points of the task metric is not reported."""


def findings(
    record: StudyRecord,
    certification: Certification,
    data: LadderData,
    verdict: Verdict | None,
    metric_verdict: Verdict | None,
    margin_in_metric: float | None,
    not_gained: NotGained | None,
    lookup: Lookup | None,
    weak: Weakness | None,
    confirmed: Confirmation | None,
    disorder: Sequence[OutOfOrder] = (),
) -> tuple[Finding, ...]:
    """All findings, the most far-reaching first.

    Args:
        margin_in_metric: the margin in points of the metric, None if unknown.
        not_gained: the task metric, if fine-tuning is not shown to have raised it.
        lookup: the nearest training examples' answers, if the adapter is not shown to be better than they are.
        weak: the kinds of examples on which the adapter is of little use.
        confirmed: the certified rank trained from the start, if it was.
        disorder: arms whose measured costs are not in the order of the ladder.
    """
    listed: list[Finding | None] = [base_as_good(record, data, certification)]
    if listed == [None] and not_gained is not None:
        figures = {"score": not_gained.score, "base": not_gained.base, "examples": not_gained.examples}
        text = finding_words.metric_not_gained(record.metric, not_gained)
        listed.append(Finding("metric_not_gained", text, figures=figures))
    if lookup is not None:
        listed.append(_beside_lookup(record.metric, lookup))
    if weak is not None:
        listed.append(Finding("weak_kinds", finding_words.weak_kinds(weak)))
    if verdict is not None and any(rung.state is State.FORGETS for rung in verdict.ladder):
        listed.append(Finding("forgets_too_much", finding_words.forgets_too_much(verdict)))
    improving = still_improving(verdict, record) if verdict is not None else None
    gains = listed[0] is None
    limits = list(limit_findings(record, certification, data, verdict, gains=gains, improving=improving is not None))
    if listed[0] is not None and limits:  # of memorized examples, fewer steps are the experiment, not more
        listed[0] = replace(listed[0], next=None)
    listed += [improving, *limits]
    if verdict is not None:
        listed += [_overfitting(verdict), _cut_is_better(verdict)]
    if confirmed is not None:
        listed.append(Finding("confirmation", finding_words.confirmation(confirmed, certification.declared.alpha)))
    if verdict is not None and metric_verdict is not None:
        listed.append(_metric_disagrees(record.metric, verdict, metric_verdict))
    if verdict is not None and verdict.rank is not None:
        listed.append(_metric_behind(record.metric, data, verdict.rank, certification.declared))
    if metric_verdict is not None and margin_in_metric is not None and margin_in_metric > WIDE:
        listed.append(
            Finding(
                "wide_margin", finding_words.wide_margin(record.metric, certification.declared, margin_in_metric, USUAL)
            )
        )
    if record.seen_before:
        listed.append(Finding("seen_before", finding_words.seen_before(record.seen_before)))
    if disorder:
        listed.append(Finding("cost_order", finding_words.cost_order(disorder)))
    if data.left_out:
        listed.append(Finding("not_every_rank", finding_words.not_every_rank(data.ranks, data.left_out)))
    if margin_changed(record, certification):
        listed.append(Finding("margin_changed", words.changed(certification.declared, record.declaration)))
    return tuple(finding for finding in listed if finding is not None)


def margin_changed(record: StudyRecord, certification: Certification) -> bool:
    """Whether margin, alpha or the limit of forgetting are others than were declared first."""
    first, later = certification.declared, record.declaration
    return any(
        getattr(first, name) != getattr(later, name) for name in ("margin", "margin_of", "alpha", "max_forgetting")
    )


def base_as_good(record: StudyRecord, data: LadderData, certification: Certification) -> Finding | None:
    """Whether the base is not shown to be worse than the best adapter; with a margin of the loss or the metric, by more than that."""
    declared = certification.declared
    by_metric = declared.margin_of == MarginOf.METRIC
    base, tables = (data.base_costs, data.costs) if by_metric else (data.base, data.losses)
    if base is None or not tables:
        return None
    weights = np.ones_like(data.tokens) if by_metric else data.tokens
    means = [round(float(np.average(table.mean(axis=0), weights=weights)), 12) for table in tables]
    place = int(np.argmin(means))
    share = declared.margin if declared.margin_of == MarginOf.LOSS else 0.0
    points = declared.margin if by_metric else 0.0
    level = declared.alpha / len(tables)  # the best is the best of several
    if least_gains(tables[place][None], base, weights, level, share=share, points=points)[0] > 0:
        return None
    what = f"1 - {record.metric}" if by_metric else "loss"
    its = float(np.average(base, weights=weights))
    text = finding_words.base_as_good(its, means[place], data.ranks[place], what)
    return Finding("base_as_good", text, experiments.longer(record, certification))


def _beside_lookup(metric: str, lookup: Lookup) -> Finding:
    figures = {
        "score": lookup.score,
        "nearest": lookup.nearest,
        "difference": lookup.score - lookup.nearest,
        "low": lookup.low,
        "high": lookup.high,
        "examples": lookup.examples,
    }
    kind = "nearest_example_better" if lookup.is_worse else "nearest_example_as_good"
    return Finding(kind, finding_words.beside_lookup(metric, lookup), figures=figures)


def still_improving(verdict: Verdict, record: StudyRecord) -> Finding | None:
    """Whether the largest rank is better than the next by more than the margin. Of a cut ladder: whether no cut is mild enough.

    It must be better beyond doubt, too: with noise larger than the margin, equal ranks often differ by more than that. Of arms see
    `limits.rank_ceiling`.
    """
    if len(verdict.ranks) < 2:
        return None
    below, top = verdict.ladder[-2:]
    if isinstance(top.rank, Rung):
        return None
    if verdict.ladder_by is LadderBy.CUT:
        better = below.diff_to_best
        if not better > verdict.margin_in_loss or not below.lower_bound > 0:
            return None
        text = finding_words.no_mild_cut(top.rank, below.rank, better, verdict.margin_in_loss)
        return Finding("still_improving", text, experiments.larger_rank(record))
    better = below.mean - top.mean
    only_top = verdict.rank == top.rank and below.state is State.INFERIOR
    clearly = better > verdict.margin_in_loss and below.lower_bound > 0
    if not (clearly or only_top):
        return None
    text = finding_words.still_improving(top.rank, below.rank, better, verdict.margin_in_loss)
    return Finding("still_improving", text, experiments.larger_rank(record))


def _cut_is_better(verdict: Verdict) -> Finding | None:
    """Whether cutting lowers the loss, as it does where the largest rank overfits."""
    if not verdict.better:
        return None
    gaps = {rung.rank: rung.diff_to_best for rung in verdict.ladder}
    best = min(verdict.better, key=lambda rank: gaps[rank])
    text = finding_words.cut_is_better(
        verdict.better, best, -gaps[best], verdict.ranks[-1], verdict.rank, verdict.hands_out
    )
    return Finding("cut_is_better", text)


def _overfitting(verdict: Verdict) -> Finding | None:
    if verdict.ladder_by is LadderBy.CUT:  # all ranks are of the same training: `_cut_is_better`
        return None
    best = min(verdict.ladder, key=lambda rung: rung.mean)
    worse = list(_worse_at_the_top(verdict, best))
    if not worse:
        return None
    least = min(rung.diff_to_best for rung in worse)
    ranks = sorted(rung.rank for rung in worse)
    return Finding("overfitting", finding_words.overfitting(ranks, best.rank, least, verdict.margin_in_loss))


def _worse_at_the_top(verdict: Verdict, best: RankVerdict) -> Iterator[RankVerdict]:
    for rung in reversed(verdict.ladder):
        beyond = rung.state is State.INFERIOR or (rung.diff_to_best > verdict.margin_in_loss and rung.lower_bound > 0)
        if rung.rank <= best.rank or not beyond:
            return
        yield rung


def _metric_disagrees(metric: str, on_loss: Verdict, on_metric: Verdict) -> Finding | None:
    pairs = list(zip(on_loss.ladder, on_metric.ladder, strict=True))
    only_loss = [loss.rank for loss, task in pairs if loss.state is State.CERTIFIED and _worse(task, on_metric)]
    only_metric = [loss.rank for loss, task in pairs if loss.state is State.INFERIOR and _as_good(task, on_metric)]
    if not only_loss and not only_metric:
        return None
    return Finding("metric_disagrees", finding_words.metric_disagrees(metric, only_loss, only_metric))


def _metric_behind(metric: str, data: LadderData, rank: int, declared: Declaration) -> Finding | None:
    """Whether the chosen rank is measurably worse on the task metric than the rank that is best on it."""
    if data.costs is None:
        return None
    seeds = min(len(table) for table in data.costs)
    tables = [table[:seeds] for table in data.costs]
    means = [float(table.mean()) for table in tables]
    own, best = data.ranks.index(rank), int(np.argmin(means))
    if means[own] - means[best] < LEAST:
        return None
    # the best is the best of several, which the level is divided by
    level = declared.alpha / (len(tables) - 1)
    ones = np.ones_like(data.tokens)
    if not lower_bound(tables[own], tables[best], 0 * ones, ones, DIFFERENCE, level) > 0:
        return None
    text = finding_words.metric_behind(metric, (rank, 1 - means[own]), (data.ranks[best], 1 - means[best]))
    return Finding("metric_behind", text)


def _worse(rung: RankVerdict, verdict: Verdict) -> bool:
    """Whether the rank's bound says so; a rank that the sequence of tests did not reach has its bound at the margin."""
    return rung.lower_bound >= verdict.margin_in_loss


def _as_good(rung: RankVerdict, verdict: Verdict) -> bool:
    return rung.upper_bound <= verdict.margin_in_loss
