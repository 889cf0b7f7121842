"""Whether adapters are shown to forget less than a limit: the rise of the loss on general prose, over seeds and paragraphs.

Seeds and paragraphs are crossed random factors, as seeds and examples are for the losses, and each paragraph is paired with the same one
under the base. So the bounds are those of `sweep.verdict.bounds` for one mean: the part of the seeds with S - 1 degrees of freedom, that of
the paragraphs with about one less than there are, joined as there (Banerjee 1960), with its correction for long tails.

A rank is certified if it is shown to be within the margin *and* to stay below the limit, each at the full level: the rank misses one of
the two or is good, and that one test errs with at most the level (intersection-union test, Berger 1982). Looks share alpha as those at the
losses do (`spending.levels`): all looks have the error of the paragraphs in common, so they agree more than the levels assume, which makes
crossing a bound at any of them less likely (Slepian 1962).

Several ranks are tested from the smallest upward, because smaller ranks mostly forget less, and the first that is neither below the
limit nor passed over ends the sequence: so the whole ladder, too, errs with at most alpha. Passed over are ranks that are shown to forget
too much, and those shown inferior. docs/verdict.md says what that costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from sweep.verdict.bounds import Array, Side, estimates, joined, moments
from sweep.verdict.look import widths
from sweep.verdict.projection import MOST, PROBABLY, UNLIKELY
from sweep.verdict.record import Limited, RankForgetting
from sweep.verdict.spending import levels


@dataclass(frozen=True, slots=True)
class Rise:
    """Estimated rises of the loss on general prose, of one rank each of a batch of studies. Arrays are (studies,).

    Attributes:
        value: mean over seeds and paragraphs, weighted by tokens.
        paired: variance between seeds, of one seed.
        examples: variance of the estimate that stems from the choice of paragraphs.
        skew: third central moment of the estimate that stems from it.
        seeds: number of seeds.
        example_df: degrees of freedom of `examples`.
    """

    value: Array
    paired: Array
    examples: Array
    skew: Array
    seeds: int
    example_df: float

    def half_width(self, side: Side, level: float | Array, seeds: float | Array | None = None) -> Array:
        """Distance from the estimate to its one-sided confidence bound; see `bounds.Estimates.half_width`."""
        count = np.asarray(self.seeds if seeds is None else seeds, dtype=np.float64)
        at, seed_part = np.asarray(level), self.paired / count
        from_seeds = stdtrit(count - 1, 1 - at) ** 2 * seed_part
        return joined(side, from_seeds, seed_part, self.examples, self.skew, self.example_df, at)

    def bound(self, side: Side, level: float, seeds: int | None = None, luck: float = 0.0) -> Array:
        """A one-sided confidence bound; see `look.Contrasts.look` for a hypothetical number of seeds."""
        bound: Array = self.value + int(side) * widths(self, side, level, seeds, luck, 0.0)
        return bound


def rises_of(rises: Array, tokens: Array) -> Rise:
    """The estimates from several seeds.

    Args:
        rises: (studies, seeds, paragraphs), nats per token, at least 2 seeds and paragraphs.
        tokens: (paragraphs,), the tokens of each.
    """
    of = moments(rises[:, None], np.zeros(len(tokens)), tokens)
    each = estimates(of, np.array([[1.0, 0.0]]), 0.0)
    return Rise(each.value[:, 0], each.paired[:, 0], each.examples[:, 0], each.skew[:, 0], each.seeds, each.example_df)


@dataclass(frozen=True, slots=True)
class RankTest:
    """The test of one rank after its looks.

    Attributes:
        shown: what it shows.
        estimate: at the last look; None before the first.
    """

    shown: RankForgetting
    estimate: Rise | None


@dataclass(frozen=True, slots=True)
class ForgettingTest:
    """The tests of all ranks of a ladder, in its order.

    Attributes:
        looks: numbers of seeds at which the verdict was computed.
        paragraphs: their number.
    """

    limit: float
    alpha: float
    looks: tuple[int, ...]
    paragraphs: int
    ranks: tuple[RankTest, ...]

    def passes(self, inferior: Sequence[bool]) -> tuple[bool, ...]:
        """Whether the sequence upward certifies each rank to stay below the limit.

        Args:
            inferior: whether each rank is shown inferior by the losses; such ranks are passed over.
        """
        return tuple(self._passes(inferior))

    def _passes(self, inferior: Sequence[bool]) -> Iterator[bool]:
        going = True
        for test, passed_over in zip(self.ranks, inferior, strict=True):
            state = test.shown.state
            if state is Limited.OPEN and not passed_over:
                going = False
            yield going and state is Limited.BELOW

    def seeds_needed(self, place: int) -> int | None:
        """Total number of seeds that would probably decide a rank, either way; None if no number would do."""
        estimate = self.ranks[place].estimate
        if estimate is None:
            return None
        totals = range(estimate.seeds + 1, MOST + 1)
        return next((total for total in totals if self._decides(estimate, total, float(ndtri(PROBABLY)))), None)

    def may_decide(self, place: int, most_seeds: int) -> bool:
        """Whether seeds up to this number may decide a rank; see `projection.may_decide`."""
        estimate = self.ranks[place].estimate
        if estimate is None or most_seeds <= estimate.seeds:
            return False
        return self._decides(estimate, most_seeds, float(ndtri(UNLIKELY)) * math.sqrt(most_seeds / estimate.seeds))

    def _decides(self, estimate: Rise, seeds: int, luck: float) -> bool:
        level = levels(self.alpha, (*(look for look in self.looks if look < seeds), seeds))[-1]
        below = estimate.bound(Side.UPPER, level, seeds, luck) < self.limit
        return bool((below | (estimate.bound(Side.LOWER, level, seeds, luck) > self.limit))[0])


def judge_forgetting(
    rises: Sequence[Array], tokens: Array, looks: Sequence[int], *, limit: float, alpha: float
) -> ForgettingTest:
    """Tests every rank at every look that it has the seeds for, until it is decided: what is shown at a look stays so.

    Args:
        rises: of each rank, (seeds, paragraphs): the rise of the loss over the base's, nats per token.
        tokens: (paragraphs,), the tokens of each, at least 2 paragraphs.
        looks: numbers of seeds, ascending, at least 2.
        limit: nats per token.
        alpha: one-sided error probability of each of the two claims, below and above the limit.
    """
    allowed = levels(alpha, looks)
    tests = tuple(_tested(table, tokens, tuple(zip(looks, allowed, strict=True)), limit) for table in rises)
    return ForgettingTest(limit, alpha, tuple(looks), len(tokens), tests)


def _tested(table: Array, tokens: Array, looks: Sequence[tuple[int, float]], limit: float) -> RankTest:
    mean = float(np.average(table.mean(axis=0), weights=tokens)) if len(table) else math.nan
    test = RankTest(RankForgetting(Limited.OPEN, len(table), mean), None)
    for look, level in looks:
        if len(table) < look or test.shown.state is not Limited.OPEN:
            break
        estimate = rises_of(table[None, :look], tokens)
        lower, upper = (float(estimate.bound(side, level)[0]) for side in (Side.LOWER, Side.UPPER))
        state = Limited.BELOW if upper < limit else Limited.ABOVE if lower > limit else Limited.OPEN
        test = RankTest(RankForgetting(state, look, float(estimate.value[0]), lower, upper), estimate)
    return test
