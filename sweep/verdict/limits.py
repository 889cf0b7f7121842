"""Where LoRA reaches its limits: full fine-tuning learns more, or the largest rank is still better than the smaller ones.

Every statement is one linear contrast of expected losses or several that must all hold, each tested at the level of the last look. A
finding needs all of its tests, so nothing is paid for their number (intersection-union test, Berger 1982), and each finding is false in
at most that share of the studies in which it does not hold. docs/limits.md has the criteria in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.methods import FULL, LORA_FAMILY
from sweep.records import Declaration, Rung
from sweep.verdict.bounds import Array, lower_bounds
from sweep.verdict.ladder import LadderData
from sweep.verdict.margin import Margin
from sweep.verdict.memorized import smallest_share
from sweep.verdict.record import MarginOf


@dataclass(frozen=True, slots=True)
class FarFromFull:
    """All LoRA arms miss the margin to full fine-tuning.

    Attributes:
        best: the LoRA arm with the lowest mean.
        full: full fine-tuning.
        gap, at_least: how much worse the best arm is, and its lower bound; nats per token, or points of the metric.
        kept, kept_at_most: the share of full fine-tuning's gain that the best arm keeps, and its upper bound; None if the base was not
            evaluated.
    """

    best: Rung
    full: Rung
    gap: float
    at_least: float
    kept: float | None
    kept_at_most: float | None


@dataclass(frozen=True, slots=True)
class RankCeiling:
    """The largest LoRA rank of a ladder of arms beats all smaller ones by more than the margin, and full fine-tuning beats it likewise.

    Attributes:
        top: the arm of the largest rank.
        below: the best arm of a smaller rank.
        better, at_least: how much better the largest rank is than that, and its lower bound.
        far: the gap to full fine-tuning; None if that is not in the ladder.
    """

    top: Rung
    below: Rung
    better: float
    at_least: float
    far: FarFromFull | None


@dataclass(frozen=True, slots=True)
class Costs:
    """What a margin is judged on: losses, or 1 - score.

    Attributes:
        tables: (seeds, examples) of each rank.
        base: (examples,), zeros if there is none.
        weights: (examples,).
    """

    tables: Sequence[Array]
    base: Array
    weights: Array
    margin: Margin

    def mean(self, place: int) -> float:
        """Over seeds and examples."""
        return float(np.average(self.tables[place].mean(axis=0), weights=self.weights))

    def beyond(self, worse: int, better: int, level: float) -> float:
        """Lower bound of how far one rank misses the margin to another; minus infinity if nothing can be bounded."""
        return lower_bound(self.tables[worse], self.tables[better], self.base, self.weights, self.margin, level)


def costs_of(data: LadderData, declared: Declaration) -> Costs | None:
    """What the declared margin is judged on; None if the data lack it."""
    margin = Margin(declared.margin, MarginOf(declared.margin_of))
    if margin.of is MarginOf.METRIC:
        return (
            None
            if data.costs is None
            else Costs(data.costs, np.zeros_like(data.tokens), np.ones_like(data.tokens), margin)
        )
    if data.base is None and margin.of is MarginOf.GAIN:
        return None
    return Costs(data.losses, np.zeros_like(data.tokens) if data.base is None else data.base, data.tokens, margin)


def lower_bound(worse: Array, better: Array, base: Array, weights: Array, margin: Margin, level: float) -> float:
    """Lower confidence bound of the contrast of two ranks with a margin; minus infinity with one seed or one example.

    Args:
        worse, better: (seeds, examples); of the seeds that both have.
        base: (examples,).
    """
    seeds = min(len(worse), len(better))
    coefficients, constant = margin.contrasts(np.array([[0.0, 1.0], [0.0, 1.0]]))  # each against the better one
    pair = np.stack([worse[:seeds], better[:seeds]])[None]
    return float(lower_bounds(pair, base, weights, coefficients[:1], constant, level)[0, 0])


def far_from_full(data: LadderData, declared: Declaration, level: float) -> FarFromFull | None:
    """The gap to full fine-tuning, if every LoRA arm of the ladder is shown to miss the margin to it."""
    costs = costs_of(data, declared)
    full = next((place for place, rank in enumerate(data.ranks) if _method(rank) == FULL), None)
    arms = [place for place, rank in enumerate(data.ranks) if _method(rank) in LORA_FAMILY]
    if costs is None or full is None or not arms:
        return None
    beyond = {place: costs.beyond(place, full, level) for place in arms}
    if min(beyond.values()) <= 0:
        return None
    best = min(arms, key=costs.mean)
    kept, most = _kept_of_full(data, best, full, level)
    gap = costs.mean(best) - costs.mean(full)
    least = lower_bound(costs.tables[best], costs.tables[full], costs.base, costs.weights, DIFFERENCE, level)
    return FarFromFull(_rung(data.ranks[best]), _rung(data.ranks[full]), gap, least, kept, most)


def rank_ceiling(data: LadderData, declared: Declaration, level: float) -> RankCeiling | None:
    """The largest rank of a ladder of arms, if it is shown to beat all smaller ones, and to miss the margin to full fine-tuning.

    All arms of the largest rank's method count; where several arms have that rank, the best of them.
    """
    costs = costs_of(data, declared)
    ranks = {
        place: rank.of.arm.rank
        for place, rank in enumerate(data.ranks)
        if _method(rank) in LORA_FAMILY and isinstance(rank, Rung)
    }
    if costs is None or not ranks:
        return None
    top = min((place for place, rank in ranks.items() if rank == max(ranks.values())), key=costs.mean)
    method = _method(data.ranks[top])
    smaller = [place for place, rank in ranks.items() if rank < ranks[top] and _method(data.ranks[place]) == method]
    if not smaller or min(costs.beyond(place, top, level) for place in smaller) <= 0:
        return None
    holds_full = any(_method(rank) == FULL for rank in data.ranks)
    far = far_from_full(data, declared, level) if holds_full else None
    if holds_full and far is None:
        return None
    below = min(smaller, key=costs.mean)
    least = lower_bound(costs.tables[below], costs.tables[top], costs.base, costs.weights, DIFFERENCE, level)
    return RankCeiling(
        _rung(data.ranks[top]), _rung(data.ranks[below]), costs.mean(below) - costs.mean(top), least, far
    )


DIFFERENCE = Margin(0.0, MarginOf.LOSS)


def _method(rank: int) -> str | None:
    return rank.of.arm.method if isinstance(rank, Rung) else None


def _rung(rank: int) -> Rung:
    assert isinstance(rank, Rung)
    return rank


def _kept_of_full(data: LadderData, arm: int, full: int, level: float) -> tuple[float | None, float | None]:
    """The share of full fine-tuning's gain in loss that an arm keeps, and its upper bound."""
    if data.base is None:
        return None, None
    base, tables = data.base, data.losses
    means = [
        float(np.average(table.mean(axis=0), weights=data.tokens)) for table in (base[None], tables[arm], tables[full])
    ]
    if means[0] <= means[2]:
        return None, None

    def surely_below(share: float) -> bool:
        margin = Margin(1 - share, MarginOf.GAIN)
        return lower_bound(tables[arm], tables[full], base, data.tokens, margin, level) > 0

    most = smallest_share(surely_below, 1.0) if surely_below(1.0) else None
    return (means[0] - means[1]) / (means[0] - means[2]), most
