"""One look at a batch of studies: which ranks are certified, which are inferior.

Margin. "Rank r is worse than rank j by more than the margin" is a statement about one linear combination of expected losses:

    gain    L[r] - (1 - m) L[j] - m base > 0     r loses more than the share m of what j gains over the base
    loss    L[r] - (1 + m) L[j]          > 0     r's loss is more than the share m above j's
    metric  L[r] - L[j] - m              > 0     r's cost is more than m points above j's

A rank is good if no rank j makes its contrast zero or positive. j = r is among them: with `gain` it asks that r itself
improves on the base at all (assay sensitivity: ICH E10, section 1.5), with `loss` and `metric` it is void. It bounds the
difference to the best rank, which may be r itself, from below by about zero.

Certified. A rank is compared with every other rank, each at the full level: all must pass (intersection-union test, Berger
1982), so nothing is paid for choosing the worst. Ranks are tested from the largest downward until one fails (fixed sequence,
Hsu and Berger 1999), so nothing is paid for testing several ranks either: the first rank that is not good is certified with
probability at most the level, and none below it is reached without that.

The gate. A ladder may end above the best rank: its largest ranks overfit and are not good. Ranks at the top that are shown
inferior are passed over, until the first certified rank; a rank that is neither stops the sequence. Passing a rank over
errs only together with a second error (see docs/verdict.md).

Inferior. Downward from the largest rank, each against every smaller one, at the level divided by their number (Bonferroni).
Upward from the smallest, each against a mean of larger ranks: the best rank is at least as good as that, and one contrast
needs no correction. Of the larger ranks that were not shown inferior downward it is the larger half, since those next to a
rank that is too small may be too small themselves. The first rank that is not shown inferior stops its sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.verdict.bounds import Array, Estimates, Moments, Side, estimates
from sweep.verdict.record import MarginOf


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse than the best a rank may be.

    Attributes:
        size: a share (gain, loss) or points (metric); not negative.
        of: what it is a share of.
    """

    size: float
    of: MarginOf

    @property
    def _of_reference(self) -> float:
        return {MarginOf.GAIN: 1 - self.size, MarginOf.LOSS: 1 + self.size, MarginOf.METRIC: 1.0}[self.of]

    def contrasts(self, reference: Array) -> tuple[Array, float]:
        """Coefficients of the contrast of every rank with its reference, and the constant to be added.

        Args:
            reference: (..., ranks, ranks), row r: what rank r is compared with, as weights of ranks that sum to 1.

        Returns:
            (..., ranks, ranks + 1) coefficients of the ranks and of the base, and the constant.
        """
        ranks = reference.shape[-1]
        coefficients = np.zeros((*reference.shape[:-1], ranks + 1))
        coefficients[..., :ranks] = np.eye(ranks) - self._of_reference * reference
        if self.of is MarginOf.GAIN:
            coefficients[..., ranks] = -self.size
        return coefficients, -self.size if self.of is MarginOf.METRIC else 0.0

    def in_loss(self, best: Array, base: Array) -> Array:
        """The margin in the unit of the losses, given the best rank's mean and the base's."""
        if self.of is MarginOf.METRIC:
            return np.full_like(best, self.size)
        return self.size * (best if self.of is MarginOf.LOSS else base - best)


def against_each(ranks: int) -> Array:
    """(ranks, ranks, ranks): reference [j, r] compares rank r with rank j alone."""
    return np.broadcast_to(np.eye(ranks)[:, None, :], (ranks, ranks, ranks)).copy()


def against_larger_half(active: NDArray[np.bool_]) -> Array:
    """(studies, ranks, ranks): each rank against the mean of the larger half of the active ranks above it.

    Of an odd number the middle one belongs to that half. A rank without any is compared with itself.

    Args:
        active: (studies, ranks), ranks that are compared with.
    """
    ranks = active.shape[1]
    larger = np.triu(np.ones((ranks, ranks), bool), 1) & active[:, None, :]
    from_the_top = np.cumsum(larger[:, :, ::-1], axis=2)[:, :, ::-1]
    count = larger.sum(axis=2, keepdims=True)
    half = larger & (from_the_top <= (count + 1) // 2)
    return np.where(count > 0, half / np.maximum(half.sum(axis=2, keepdims=True), 1), np.eye(ranks))


Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Contrasts:
    """What a look at a batch of studies is made from.

    Attributes:
        of: means and covariances.
        each: rank against rank, (studies, ranks * ranks); entry j * ranks + r compares rank r with rank j.
        active: (studies, ranks), ranks not shown inferior at an earlier look: only these are compared.
        counts: (ranks, ranks), [j, r]: whether r against j can fail (r against itself cannot if the margin is zero).
    """

    of: Moments
    margin: Margin
    each: Estimates
    active: Mask
    counts: Mask


@dataclass(frozen=True, slots=True)
class Look:
    """What one look shows. All arrays (studies, ranks); bounds are of the contrast: rank minus best minus margin.

    Attributes:
        certified: reached from the largest rank downward and below the margin against every active rank.
        inferior: shown inferior, upward or downward.
        upper: upper bound of the worst contrast.
        lower: lower bound of a contrast; minus infinity if there is none.
    """

    certified: Mask
    inferior: Mask
    upper: Array
    lower: Array


def contrasts(of: Moments, margin: Margin, active: Mask) -> Contrasts:
    """The contrasts that a look needs.

    Args:
        active: (studies, ranks), ranks that were not shown inferior at an earlier look; the others are no reference.
    """
    ranks = active.shape[1]
    coefficients, constant = margin.contrasts(against_each(ranks))
    each = estimates(of, coefficients.reshape(ranks * ranks, ranks + 1), constant)
    counts = np.ones((ranks, ranks), bool) if margin.size > 0 else ~np.eye(ranks, dtype=bool)
    return Contrasts(of, margin, each, active, counts)


def look(
    given: Contrasts,
    level: float | Array,
    certified: Mask,
    seeds: float | Array | None = None,
    luck: float = 0.0,
    fresh: float = 0.0,
) -> Look:
    """Applies the sequences at one level.

    Args:
        level: one-sided level of this look; one number, or (studies, 1).
        certified: (studies, ranks), ranks certified at an earlier look: they stay so, and count as passed.
        seeds: a hypothetical number of seeds; one number, or (studies, 1). With it, `luck` standard errors of the seeds and
            examples to come are added to the half-widths.
        luck: see `seeds`.
        fresh: the share of the examples that are to come.
    """
    ranks = given.active.shape[1]
    reference = given.active[:, :, None]  # [j, r]: rank j takes part

    within = (given.each.value + _widths(given.each, Side.UPPER, level, seeds, luck, fresh)).reshape(-1, ranks, ranks)
    upper = np.where(reference & given.counts, within, -np.inf).max(axis=1)

    smaller = np.triu(np.ones((ranks, ranks), bool), 1)  # [j, r]: j is smaller than r
    below = np.full(within.shape, -np.inf)
    for rank in range(1, ranks):
        pairs = given.each.take(np.arange(rank) * ranks + rank)
        shared = np.asarray(level) / np.maximum(given.active[:, :rank].sum(axis=1, keepdims=True), 1)
        below[:, :rank, rank] = pairs.value - _widths(pairs, Side.LOWER, shared, seeds, luck, fresh)
    below = np.where(reference & smaller, below, -np.inf).max(axis=1)
    gone = ~given.active
    downward = _from_the_top(gone | (below > 0) & ~certified)

    references = given.active & ~downward
    larger = estimates(given.of, *given.margin.contrasts(against_larger_half(references)))
    has_larger = (references[:, :, None] & smaller.T).any(axis=1)
    above = np.where(has_larger, larger.value - _widths(larger, Side.LOWER, level, seeds, luck, fresh), -np.inf)
    upward = np.logical_and.accumulate(gone | (above > 0) & ~certified, axis=1)

    good = given.active & (certified | (upper < 0))
    lower = np.where(upward | has_larger & ~downward, above, below)
    return Look(_from_the_top(good | downward) & good, upward | downward, upper, lower)


def _widths(
    of: Estimates, side: Side, level: float | Array, seeds: float | Array | None, luck: float, fresh: float
) -> Array:
    width = of.half_width(side, level, seeds)
    if seeds is None or luck == 0:
        return width
    of_seeds = of.paired * np.maximum(np.asarray(seeds) - of.seeds, 0) / np.asarray(seeds) ** 2
    to_come: Array = np.sqrt(of_seeds + of.examples * fresh)
    return width + luck * to_come


def _from_the_top(passes: Mask) -> Mask:
    """Whether a rank and all larger ones pass."""
    return np.logical_and.accumulate(passes[:, ::-1], axis=1)[:, ::-1]
