"""The learning rate of each rank, tuned with few trials by one model for all ranks.

The best rate falls about as a power of the rank, and near it the logarithm of the loss is about a parabola in the
logarithm of the rate. So one model is fitted to all trials of a recipe, of any rank:

    log loss(r, rate) = level_r + curvature * (log2 rate - best_r)**2,    best_r = intercept - slope * log2 r

`level_r` is free for each rank; curvature, intercept and slope are shared. The posterior of those three is computed on a
grid under weak priors (`_CURVATURE`, `_SLOPE`), so the fit is defined from the first trial on and no optimizer can fail.
The rate only has to be good, not the best: a rate off by a factor of two raises the loss by the share `curvature`, one off by half a
doubling by a quarter of that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOISE = 0.12
"""Standard deviation of log loss between seeds: 0.025 nats at losses of about 0.2 (pharma: docs/verdict.md)."""

_CURVATURE = (0.15, 0.08)
"""Mean and deviation of the prior, per doubling squared; the losses in tests/study/test_rates.py give 0.08 to 0.3."""

_LEAST_LOSS = 1e-12
"""Smaller losses are raised to this one, so that they have a logarithm."""

_SLOPE = (0.6, 0.25)
"""Mean and deviation of the prior; the losses in tests/study/test_rates.py give about 0.7, the update's scale being constant."""

_BY_SCALE = 0.75
"""The best rate falls about as this power of the update's scale.

Adam's steps do not depend on the size of gradients. So as long as A stays near its first values, scale k s and rate / k train the
same function as scale s: a power of 1. Once A and B have both moved far, the update grows as scale times rate squared: 1/2.
"""

_INTERCEPT_DEVIATION = 1.5
"""In doublings, around the recipe's own rate at rank 8."""

WIDENING = 4.0
"""Rates may lie outside the range of the search by this factor."""

NEAR = 0.4
"""Rates less than this many doublings apart count as the same rate."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One trial: its loss in nats per token on examples it was not trained on, infinite if it diverged."""

    rank: int
    rate: float
    loss: float


@dataclass(frozen=True, slots=True)
class BestRate:
    """The model's estimate for a rank: the best rate, and its standard deviation in doublings."""

    rank: int
    rate: float
    deviation: float


class RateModel:
    """The posterior of the shared model, given the trials so far.

    Args:
        points: trials of one recipe (targets, dropout, alpha / rank) on tune, of any rank.
        usual: the rate for rank 8 before any trial.
        lowest, highest: the range of the search; `WIDENING` beyond it may be tried.
        growth: the power of the rank that the update's scale grows with: 0 in LoRA, 1/2 in rsLoRA, whose best rates therefore
            fall faster. LoRA+ changes the level of the rates, which is `usual`, and not their slope.
    """

    def __init__(
        self, points: Sequence[RatePoint], usual: float, lowest: float, highest: float, growth: float = 0.0
    ) -> None:
        self.lowest, self.highest = lowest / WIDENING, highest * WIDENING
        curvature = np.linspace(0.02, 0.45, 24)
        steeper = _BY_SCALE * growth
        slope = np.linspace(0.0, 1.3, 27) + steeper
        at_eight = np.linspace(-4.5, 4.5, 73) + math.log2(usual)
        self._curvature, self._at_eight, self._slope = np.meshgrid(curvature, at_eight, slope, indexing="ij")
        logarithm = (
            -0.5 * ((self._curvature - _CURVATURE[0]) / _CURVATURE[1]) ** 2
            - 0.5 * ((self._at_eight - math.log2(usual)) / _INTERCEPT_DEVIATION) ** 2
            - 0.5 * ((self._slope - _SLOPE[0] - steeper) / _SLOPE[1]) ** 2
        )
        for rank in sorted({point.rank for point in points}):
            logarithm = logarithm + self._evidence([point for point in points if point.rank == rank])
        weights = np.exp(logarithm - logarithm.max())
        self._weights = weights / weights.sum()

    def best(self, rank: int) -> BestRate:
        """The posterior mean of the rank's best rate, within what may be tried."""
        place = self._best_of(rank)
        mean = float((self._weights * place).sum())
        deviation = math.sqrt(max(0.0, float((self._weights * (place - mean) ** 2).sum())))
        return BestRate(rank, min(max(2**mean, self.lowest), self.highest), deviation)

    def _best_of(self, rank: int) -> NDArray[np.float64]:
        place: NDArray[np.float64] = self._at_eight - self._slope * (math.log2(rank) - 3)
        return place

    def _evidence(self, points: Sequence[RatePoint]) -> NDArray[np.float64]:
        """Log likelihood of one rank's trials, its level profiled out."""
        best = self._best_of(points[0].rank)
        finite = [point for point in points if math.isfinite(point.loss)]
        evidence = np.zeros_like(best)
        if finite:
            height = np.stack([self._curvature * (math.log2(point.rate) - best) ** 2 for point in finite])
            seen = np.array([math.log(max(point.loss, _LEAST_LOSS)) for point in finite]).reshape(-1, 1, 1, 1)
            residual = seen - height
            residual = residual - residual.mean(axis=0)
            # heavy tails: far from the best rate the loss is no parabola, and one wild trial must not decide
            evidence = -2.5 * np.log1p((residual / _NOISE) ** 2 / 4).sum(axis=0)
        for point in points:
            if not math.isfinite(point.loss):  # diverged: the best rate is well below
                evidence = evidence - 0.5 * np.clip(best - (math.log2(point.rate) - 1), 0, None) ** 2 / 0.25
        return evidence


def next_rates(
    points: Sequence[RatePoint],
    ladder: Sequence[int],
    usual: float,
    lowest: float,
    highest: float,
    count: int,
    growth: float = 0.0,
    tried: Iterable[tuple[int, float]] = (),
) -> list[tuple[int, float]]:
    """The next `count` trials as (rank, rate) pairs; fewer or none if nothing is left to try.

    First one trial near each rank's best rate, then trials where the best rate is least certain, each time on the side of it with
    fewer trials. In simulation (losses as measured on clinc_kitchen, noise 12 %) six trials beside the first three
    arms of a search bring every rank of 2 to 32 within 2 % of the loss at its best rate. Pending proposals count as if
    they had the expected loss.

    No proposal is within `NEAR` of a rate that was tried for its rank, so the number of proposals is finite. Proposals of one call are
    twice as far apart: neither knows what the other will find.

    Args:
        tried: (rank, rate) of trials without a point, such as pruned ones.
    """
    known = list(points)
    taken = {*tried, *((point.rank, point.rate) for point in points)}
    proposals: list[tuple[int, float]] = []
    for _ in range(count):
        model = RateModel(known, usual, lowest, highest, growth)
        bests = {rank: model.best(rank) for rank in ladder}
        proposed = {
            rank: rate for rank in ladder if (rate := _untried(known, taken, proposals, bests[rank], model)) is not None
        }
        if not proposed:
            break
        unseen = [rank for rank in proposed if not _is_near(taken, rank, bests[rank].rate, 2 * NEAR)]
        rank = max(unseen or proposed, key=lambda rank: (round(bests[rank].deviation, 9), -rank))
        rate = proposed[rank]
        proposals.append((rank, rate))
        taken.add((rank, rate))
        known.append(RatePoint(rank, rate, loss=_expected(known, rank)))
    return proposals


def tidy(rate: float) -> float:
    """The rate rounded to two significant digits."""
    return float(f"{rate:.1e}")


def at_edge(model: RateModel, best: BestRate) -> bool:
    """Whether the best rate lies at the edge of what may be tried."""
    return best.rate <= model.lowest * 1.05 or best.rate >= model.highest / 1.05


def _untried(
    points: Sequence[RatePoint],
    taken: Collection[tuple[int, float]],
    pending: Collection[tuple[int, float]],
    best: BestRate,
    model: RateModel,
) -> float | None:
    """The best rate or its nearest doubling or halving that is not near a rate that was tried; None if there is none."""
    rank, place = best.rank, best.rate
    own = [rate for tried, rate in taken if tried == rank]
    upward = 2 * sum(rate > place for rate in own) <= len(own)
    octaves = math.ceil(math.log2(model.highest / model.lowest))
    steps = [sign * octave for octave in range(1, octaves + 1) for sign in ((1, -1) if upward else (-1, 1))]
    rates = [tidy(min(max(place * 2.0**step, model.lowest), model.highest)) for step in (0, *steps)]
    diverged = min((point.rate for point in points if point.rank == rank and math.isinf(point.loss)), default=math.inf)
    rates.sort(key=lambda rate: rate >= diverged)  # rates above one that diverged come last
    free = (rate for rate in rates if not _is_near(taken, rank, rate, NEAR))
    return next((rate for rate in free if not _is_near(pending, rank, rate, 2 * NEAR)), None)


def _is_near(taken: Collection[tuple[int, float]], rank: int, rate: float, doublings: float) -> bool:
    return any(tried == rank and _distance(other, rate) < doublings for tried, other in taken)


def _distance(rate: float, other: float) -> float:
    """The distance in doublings."""
    return abs(math.log2(rate / other))


def _expected(points: Sequence[RatePoint], rank: int) -> float:
    """The expected loss of a trial of the rank: its lowest loss so far, or else the lowest of any rank."""
    own = [point.loss for point in points if point.rank == rank and math.isfinite(point.loss)]
    others = [point.loss for point in points if math.isfinite(point.loss)]
    return min(own, default=min(others, default=1.0))
