"""Looks in order: what is shown at a look stays so, and ranks shown inferior leave the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.verdict.bounds import Array, Mask, Moments, moments
from sweep.verdict.cut_sequence import CutContrasts, cut_contrasts
from sweep.verdict.look import Contrasts, Look
from sweep.verdict.margin import Margin
from sweep.verdict.record import LadderBy, RankVerdict, State
from sweep.verdict.sequence import trained_contrasts
from sweep.verdict.table import LossTable


@dataclass(frozen=True, slots=True)
class Step:
    """One look of a batch of studies: what it was made from, and what it shows."""

    seeds: int
    moments: Moments
    contrasts: Contrasts
    look: Look


def steps(
    losses: Array,
    base: Array,
    weights: Array,
    margin: Margin,
    looks: Sequence[int],
    levels: Sequence[float],
    shown: tuple[Mask, Mask] | None = None,
    before: Contrasts | None = None,
    ladder_by: LadderBy = LadderBy.TRAIN,
    *,
    by_quality: bool = True,
) -> Iterator[Step]:
    """The looks of a batch of studies, in order, each at its level.

    Args:
        losses: (studies, ranks, seeds, examples), at least 2 of each but of studies. Seeds of a rank after the look that
            shows it inferior (or, of a cut, certified) are not used.
        base: (studies, examples) or (examples,).
        looks: numbers of seeds, ascending, at least 2.
        shown: (studies, ranks) each, ranks certified and shown inferior before the first of these looks.
        before: the contrasts of the last look before these, if any.
        by_quality: whether a trained ladder is one of ranks, see `sequence.TrainedContrasts`.
    """
    nothing = np.zeros(losses.shape[:2], bool)
    certified, inferior = shown if shown is not None else (nothing, nothing)
    for seeds, level in zip(looks, levels, strict=True):
        of = moments(losses[:, :, :seeds], base, weights)
        given = _contrasts(of, margin, certified, inferior, before, ladder_by, by_quality=by_quality)
        before = given
        shown_now = given.look(level, certified)
        certified, inferior = shown_now.certified, shown_now.inferior
        yield Step(seeds, of, given, shown_now)


def _contrasts(
    of: Moments,
    margin: Margin,
    certified: Mask,
    inferior: Mask,
    before: Contrasts | None,
    ladder_by: LadderBy,
    *,
    by_quality: bool,
) -> Contrasts:
    if ladder_by is LadderBy.TRAIN:
        return trained_contrasts(of, margin, ~inferior, by_quality=by_quality)
    judged = ~(certified | inferior)
    judged[:, -1] = True
    spread = before.each.spread if isinstance(before, CutContrasts) else None
    return cut_contrasts(of, margin, judged, inferior, spread)


@dataclass(frozen=True, slots=True)
class LookState:
    """The state of one study after its looks. All arrays (ranks,).

    Attributes:
        taken: number of looks taken.
        upper, lower: bounds of the difference to the reference: the best rank, or the uncut adapters. Those of a rank that is not
            judged any more are of its last look. They are on the side of the margin that the states say.
        mean: over the seeds that a rank was last judged with.
        difference: to the reference, of the same seeds.
        better: cuts shown to have a lower loss than the uncut adapters.
        margin_in_loss: the margin in the unit of the losses at the last look.
        last: the contrasts of the last look, None if there was none.
    """

    taken: int
    certified: Mask
    inferior: Mask
    upper: Array
    lower: Array
    mean: Array
    difference: Array
    better: Mask
    seeds: tuple[int, ...]
    margin_in_loss: float
    last: Contrasts | None

    @property
    def closed(self) -> bool:
        """Whether the smallest rank not shown inferior is certified."""
        return bool(self.certified[np.argmax(~self.inferior)])

    def ladder(self, ranks: Sequence[int]) -> tuple[RankVerdict, ...]:
        """The state of each of the ranks, ascending."""
        return tuple(
            RankVerdict(
                rank=rank,
                state=self._state(place),
                seeds=self.seeds[place],
                mean=float(self.mean[place]),
                diff_to_best=float(self.difference[place]),
                upper_bound=float(self.upper[place]),
                lower_bound=float(self.lower[place]),
            )
            for place, rank in enumerate(ranks)
        )

    def _state(self, place: int) -> State:
        if self.certified[place]:
            return State.CERTIFIED
        return State.INFERIOR if self.inferior[place] else State.UNDECIDED


def replay(
    table: LossTable, looks: Sequence[int], levels: Sequence[float], before: LookState | None = None
) -> LookState:
    """Takes the looks in order, until the bracket is closed or a rank not yet shown inferior has too few seeds.

    If none can be taken (too few seeds, one example, one rank), nothing is shown and bounds are infinite.

    Args:
        before: the state after looks with fewer examples, if any; what they showed stays so.
    """
    state = _before(table) if before is None else replace(before, taken=0)
    if len(table.ranks) < 2 or table.examples < 2:
        return state
    shown = state.certified[None], state.inferior[None]
    losses = table.stacked(max(table.seeds))
    batch = steps(
        losses,
        table.base,
        table.weights,
        table.margin,
        looks,
        levels,
        shown,
        state.last,
        table.ladder_by,
        by_quality=table.by_quality,
    )
    while not state.closed and state.taken < len(looks) and not lacking(table, state, looks[state.taken]):
        state = _after(state, table, next(batch))
    return state


def lacking(table: LossTable, state: LookState, seeds: int) -> tuple[int, ...]:
    """The ranks that the next look needs and that have fewer seeds than this."""
    needed = ~state.inferior
    if table.is_cut:
        needed &= ~state.certified
        needed[-1] = True
    rows = zip(table.ranks, table.seeds, needed, strict=True)
    return tuple(rank for rank, there, counts in rows if there < seeds and counts)


def _before(table: LossTable) -> LookState:
    by_seed = [(rows @ table.weights) / table.weights.sum() for rows in table.losses]
    mean = np.array([(rows @ table.weights).mean() for rows in table.losses]) / table.weights.sum()
    difference = mean - mean.min()
    if table.is_cut:
        difference = np.array([_paired_difference(rows, by_seed[-1]) for rows in by_seed])
    nothing = np.zeros(len(table.ranks), bool)
    infinite = np.full(len(table.ranks), np.inf)
    return LookState(
        taken=0,
        certified=nothing,
        inferior=nothing,
        upper=infinite,
        lower=-infinite,
        mean=mean,
        difference=difference,
        better=nothing,
        seeds=table.seeds,
        margin_in_loss=_margin_in_loss(table, mean),
        last=None,
    )


def _paired_difference(rows: Array, uncut: Array) -> float:
    """Mean difference to the uncut adapters of the seeds that both have."""
    both = min(len(rows), len(uncut))
    return float((rows[:both] - uncut[:both]).mean())


def _after(before: LookState, table: LossTable, step: Step) -> LookState:
    judged = step.contrasts.judged[0]
    certified, inferior = step.look.certified[0], step.look.inferior[0]
    mean = np.where(judged, step.moments.mean[0, :-1], before.mean)
    margin = _margin_in_loss(table, mean)
    upper, lower = margin + step.look.upper[0], margin + step.look.lower[0]
    below, above = np.nextafter(margin, -np.inf), np.nextafter(margin, np.inf)
    upper = np.where(certified, np.minimum(upper, below), np.maximum(upper, margin))
    lower = np.where(inferior, np.maximum(lower, above), np.minimum(lower, margin))
    return LookState(
        taken=before.taken + 1,
        certified=certified,
        inferior=inferior,
        upper=np.where(judged, upper, before.upper),
        lower=np.where(judged, lower, before.lower),
        mean=mean,
        difference=np.where(judged, mean - mean[-1], before.difference) if table.is_cut else mean - mean.min(),
        better=before.better | step.look.better[0],
        seeds=tuple(step.seeds if stays else used for stays, used in zip(judged, before.seeds, strict=True)),
        margin_in_loss=margin,
        last=replace(step.contrasts, inferior=inferior[None])
        if isinstance(step.contrasts, CutContrasts)
        else step.contrasts,
    )


def _margin_in_loss(table: LossTable, mean: Array) -> float:
    base = table.base @ table.weights / table.weights.sum()
    return float(table.margin.in_loss(mean[-1] if table.is_cut else mean.min(), base))
