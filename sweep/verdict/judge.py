"""The verdict on a ladder of ranks: the smallest one shown to match the best, within the margin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from sweep.verdict.looks import LookState, lacking, replay
from sweep.verdict.projection import Outlook, example_counts, outlook
from sweep.verdict.reasons import not_taken, why_futile, why_open
from sweep.verdict.record import Need, State, Verdict
from sweep.verdict.spending import left, levels
from sweep.verdict.table import LossTable, loss_table


def judge(
    losses: ArrayLike,
    ranks: Sequence[int],
    *,
    margin: float,
    margin_of: str = "gain",
    alpha: float = 0.05,
    base: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ladder_by: str = "train",
) -> Verdict:
    """The verdict on one set of trials that was planned in advance. For seeds that are added later see `judge_looks`.

    Args:
        losses: (ranks, seeds, examples), loss of each example's completion in nats a token; for `margin_of="metric"` its
            cost, 1 - score. Seeds and examples are the same ones at every rank.
        ranks: the ladder, ascending.
        margin: how much worse than the best rank a rank may be and still count as good: a share of the gain or of the loss,
            or points of the metric.
        margin_of: `gain` (the loss of the unadapted base minus that of the best rank), `loss` or `metric`.
        alpha: one-sided error probability of each of the verdict's statements.
        base: (examples,), losses of the unadapted base; needed for `gain`.
        weights: (examples,), tokens of each completion, for a mean over tokens; equal if not given.
        ladder_by: `train`: every rank was trained, and is compared with every other. `cut`: the smaller ranks were cut from the
            adapters of the largest, seed by seed, and are compared with those alone.

    Raises:
        ValueError: if arguments have wrong shapes or values; one line for every mistake.
    """
    table = loss_table(
        losses, ranks, margin=margin, margin_of=margin_of, alpha=alpha, base=base, weights=weights, ladder_by=ladder_by
    )
    if len(set(table.seeds)) > 1:
        counts = ", ".join(map(str, table.seeds))
        raise ValueError(f"losses: every rank needs the same number of seeds, but they have {counts}")
    seeds = table.seeds[0]
    looks = (seeds,) if seeds >= 2 else ()
    after = replay(table, looks, tuple(table.alpha for _ in looks))
    return _verdict(table, after, table.alpha, lambda *_: table.alpha, ())


def judge_looks(
    losses: Sequence[ArrayLike],
    ranks: Sequence[int],
    looks: Sequence[int],
    *,
    margin: float,
    margin_of: str = "gain",
    alpha: float = 0.05,
    base: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    extended: Sequence[tuple[int, int]] = (),
    cost: Callable[[Need], float] | None = None,
    available: int | None = None,
    ladder_by: str = "train",
    most_seeds: int | None = None,
    most_cost: float = math.inf,
) -> Verdict:
    """The verdict after several looks, each with more seeds. Arguments and errors are those of `judge`, but for:

    Args:
        losses: one (seeds, examples) table per rank, in the order of the seeds. Ranks shown inferior at a look need no more;
            nor do cuts that were certified.
        looks: numbers of seeds at which the data were, or will be, looked at, ascending, from 2. They may be extended at any
            time; looks already taken must stay. A look for which a needed rank has too few seeds is not taken, nor any
            later one.
        extended: the number of seeds at the last look, and of examples at that time, before each time that examples were added;
            those that were there come first. The last look is then taken again, and it and later looks share what of alpha
            was left.
        cost: of a number of seeds and examples, to find the cheapest way to settle what is open; without it, only seeds are added.
        available: number of examples in the data, None if unknown.
        most_seeds: the limit of seeds, for `Verdict.futile`.
        most_cost: what settling it may cost beyond the present seeds and examples; a step that costs more is not proposed.

    Each look repeats `judge` on the seeds it has, at the level that `spending.levels` gives. What was certified or inferior at a
    look stays so.
    """
    table = loss_table(
        losses, ranks, margin=margin, margin_of=margin_of, alpha=alpha, base=base, weights=weights, ladder_by=ladder_by
    )
    plan = _checked_looks(looks)
    spendable, after = table.alpha, None
    for seen, own in _by_examples(table, plan, extended):
        allowed = levels(spendable, own)
        after = replay(seen, own, allowed, after)
        if after.closed or after.taken < len(own) or seen.examples == table.examples:
            break
        spendable = left(spendable, own[-1])
    assert after is not None
    table, plan, taken = seen, own, after.taken
    missing: tuple[str, ...] = ()
    few = lacking(table, after, plan[taken]) if taken < len(plan) else ()
    if few and not after.closed:
        missing = (not_taken(plan[taken], few),)

    def later(seeds: int, examples: int) -> float:
        if examples > table.examples:
            there = plan[taken - 1]
            return levels(left(spendable, there), (there, seeds) if seeds > there else (there,))[-1]
        return levels(spendable, (*plan[:taken], *(look for look in plan[taken:] if look < seeds), seeds))[-1]

    return _verdict(table, after, allowed[max(taken, 1) - 1], later, missing, cost, available, most_seeds, most_cost)


def _by_examples(
    table: LossTable, plan: tuple[int, ...], extended: Sequence[tuple[int, int]]
) -> Iterator[tuple[LossTable, tuple[int, ...]]]:
    """The looks grouped by the examples they had; the last look before examples were added is taken again."""
    rest = plan
    for seeds, examples in extended:
        before = tuple(look for look in rest if look <= seeds)
        if before and examples < table.examples:
            yield table.first(examples), before
            rest = (before[-1], *(look for look in rest if look > before[-1]))
    yield table, rest


def _checked_looks(looks: Sequence[int]) -> tuple[int, ...]:
    plan = tuple(looks)
    whole = all(isinstance(look, int | np.integer) and not isinstance(look, bool) for look in plan)
    if not plan or not whole or plan[0] < 2 or any(later <= look for look, later in pairwise(plan)):
        raise ValueError(f"looks: must be ascending whole numbers of seeds, at least 2, not {list(looks)}")
    return tuple(int(look) for look in plan)


def _verdict(
    table: LossTable,
    after: LookState,
    level: float,
    later: Callable[[int, int], float],
    missing: tuple[str, ...],
    cost: Callable[[Need], float] | None = None,
    available: int | None = None,
    most_seeds: int | None = None,
    most_cost: float = math.inf,
) -> Verdict:
    """The verdict after the looks taken.

    Args:
        level: of the last look.
        later: the level of a further look, given its seeds and examples.
        missing: sentences on looks that were not taken.
        cost, available, most_seeds, most_cost: see `judge_looks`.
    """
    smallest = int(np.argmax(~after.inferior))
    certified = np.flatnonzero(after.certified)
    ahead, needed, reasons = Outlook((), max(table.seeds), table.examples), None, missing
    futile: str | None = None
    too_dear: Need | None = None
    better = tuple(rank for rank, is_better in zip(table.ranks, after.better, strict=True) if is_better)
    if not after.closed:
        if after.last is not None and after.margin_in_loss >= 0:
            counts = [table.examples] if cost is None else example_counts(table.examples, available)
            ahead = outlook(after.last, after.certified[None], later, table.examples, counts)
            needed = ahead.cheapest(cost or (lambda need: need.seeds), available)
            there = Need(ahead.seeds, ahead.examples)
            too_dear = needed if needed and cost and cost(needed) - cost(there) > most_cost else None
            needed = None if too_dear else needed
            if most_seeds is not None:
                futile = why_futile(table, after, later, Need(most_seeds, max(available or 0, table.examples)))
        reasons = (
            *why_open(table, after, level, ahead, needed, available, too_dear),
            *([futile] if futile else []),
            *missing,
        )
    return Verdict(
        status=State.CERTIFIED if certified.size else State.UNDECIDED,
        rank=table.ranks[certified[0]] if certified.size else None,
        bracket=(table.ranks[smallest], table.ranks[certified[0] if certified.size else -1]),
        margin=table.margin.size,
        margin_of=table.margin.of,
        alpha=table.alpha,
        level=level,
        margin_in_loss=after.margin_in_loss,
        ladder=after.ladder(table.ranks),
        examples=table.examples,
        seeds_needed=ahead.seeds_alone,
        examples_needed=ahead.examples_alone,
        needed=needed,
        reasons=reasons,
        ladder_by=table.ladder_by,
        better=better,
        hands_out=_handed_out(table, after),
        futile=futile,
    )


def _handed_out(table: LossTable, after: LookState) -> int | None:
    """The smallest certified rank; if a cut shown better than the uncut adapters is better by more than the margin, the smallest
    rank within the margin of the best one."""
    certified = np.flatnonzero(after.certified)
    if not certified.size:
        return None
    chosen = int(certified[0])
    if after.better.any() and after.difference[chosen] - after.difference[after.better].min() > after.margin_in_loss:
        shown = after.certified | after.better
        near = shown & (after.difference - after.difference[shown].min() <= after.margin_in_loss)
        chosen = int(np.argmax(near))
    return table.ranks[chosen]
