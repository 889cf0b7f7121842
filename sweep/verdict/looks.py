"""Looks in order: what is shown at a look stays so, and ranks shown inferior leave the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.verdict.bounds import Array, Moments, moments
from sweep.verdict.record import RankVerdict, State
from sweep.verdict.sequence import Contrasts, Look, Margin, Mask, contrasts, look
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
) -> Iterator[Step]:
    """The looks of a batch of studies, in order, each at its level.

    Args:
        losses: (studies, ranks, seeds, examples), at least 2 of each but of studies. Seeds of a rank after the look that
            shows it inferior are not used.
        base: (studies, examples) or (examples,).
        looks: numbers of seeds, ascending, at least 2.
        shown: (studies, ranks) each, ranks certified and shown inferior before the first of these looks.
    """
    nothing = np.zeros(losses.shape[:2], bool)
    certified, inferior = shown if shown is not None else (nothing, nothing)
    for seeds, level in zip(looks, levels, strict=True):
        of = moments(losses[:, :, :seeds], base, weights)
        given = contrasts(of, margin, ~inferior)
        shown_now = look(given, level, certified)
        certified, inferior = shown_now.certified, shown_now.inferior
        yield Step(seeds, of, given, shown_now)


@dataclass(frozen=True, slots=True)
class LookState:
    """The state of one study after its looks. All arrays (ranks,).

    Attributes:
        taken: number of looks taken.
        upper, lower: bounds of the difference to the best rank; those of a rank shown inferior are of the look that showed
            it. They are on the side of the margin that the states say.
        mean: over the seeds that a rank was last judged with.
        margin_in_loss: the margin in the unit of the losses at the last look.
        last: the contrasts of the last look, None if there was none.
    """

    taken: int
    certified: Mask
    inferior: Mask
    upper: Array
    lower: Array
    mean: Array
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
                diff_to_best=float(self.mean[place] - self.mean.min()),
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
    batch = steps(table.stacked(max(table.seeds)), table.base, table.weights, table.margin, looks, levels, shown)
    while not state.closed and state.taken < len(looks) and not lacking(table, state, looks[state.taken]):
        state = _after(state, table, next(batch))
    return state


def lacking(table: LossTable, state: LookState, seeds: int) -> tuple[int, ...]:
    """The ranks not shown inferior that have fewer seeds than this."""
    rows = zip(table.ranks, table.seeds, state.inferior, strict=True)
    return tuple(rank for rank, there, inferior in rows if there < seeds and not inferior)


def _before(table: LossTable) -> LookState:
    mean = np.array([(rows @ table.weights).mean() for rows in table.losses]) / table.weights.sum()
    nothing = np.zeros(len(table.ranks), bool)
    infinite = np.full(len(table.ranks), np.inf)
    return LookState(0, nothing, nothing, infinite, -infinite, mean, table.seeds, _margin_in_loss(table, mean), None)


def _after(before: LookState, table: LossTable, step: Step) -> LookState:
    active = step.contrasts.active[0]
    certified, inferior = step.look.certified[0], step.look.inferior[0]
    mean = np.where(active, step.moments.mean[0, :-1], before.mean)
    margin = _margin_in_loss(table, mean)
    upper, lower = margin + step.look.upper[0], margin + step.look.lower[0]
    below, above = np.nextafter(margin, -np.inf), np.nextafter(margin, np.inf)
    upper = np.where(certified, np.minimum(upper, below), np.maximum(upper, margin))
    lower = np.where(inferior, np.maximum(lower, above), np.minimum(lower, margin))
    return LookState(
        taken=before.taken + 1,
        certified=certified,
        inferior=inferior,
        upper=np.where(active, upper, before.upper),
        lower=np.where(active, lower, before.lower),
        mean=mean,
        seeds=tuple(step.seeds if stays else used for stays, used in zip(active, before.seeds, strict=True)),
        margin_in_loss=margin,
        last=step.contrasts,
    )


def _margin_in_loss(table: LossTable, mean: Array) -> float:
    base = table.base @ table.weights / table.weights.sum()
    return float(table.margin.in_loss(mean.min(), base))
