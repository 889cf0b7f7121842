"""Confidence bounds of what a cut loses against the uncut adapter of the same seed.

Both sides start from the difference over seeds, paired, with S - 1 degrees of freedom at the full level: a cut and its uncut
adapter share their training, so adding up the variances of the single ranks would gain nothing.

What a cut loses is not normal: it is mostly above zero, grows with the cut, and differs between seeds by a factor rather than by
an amount. The mean of a few such values is too small more often than too large, and their spread is too small with it, so that
Student's upper bound alone would certify a rank at the margin in up to a quarter of studies (docs/calibration.md). Therefore the
upper bound is the largest of three:

- Student's, with a standard deviation of at least that of every milder cut.
- Student's, with a standard deviation of at least `FLOOR` times the mean difference: three seeds sometimes agree by chance.
- One for differences that are factors, the smaller of the two below.

For a lognormal mean the bound is the mean difference times exp(sqrt(t^2 v / S + (v / 2)^2 (d / chi2 - 1)^2)), where v is the
variance of the log differences, t and chi2 are quantiles at the level, and d are degrees of freedom. It joins the bounds of
mean log and of variance (MOVER: Zou, Taleban and Huo 2009).

The variance v of one cut has S - 1 degrees of freedom, so few that its bound would be useless at three seeds. Cuts of the same
adapters are about equally noisy in proportion, so v is at least the mean over the cuts, and each of up to `OTHERS` other cuts that
are clearly not zero adds `MORE` to the degrees of freedom d. A cut that gets no more seeds counts with those it had. If seeds move
all cuts in exact proportion, or the cut at the margin is much noisier than all others, these say nothing new, and the bound is too
short. docs/calibration.md shows by how much.

This bound allows for any v. The other takes the coefficient of variation of the factors to be at most `LARGEST_CV`: the mean of S
gamma factors is then gamma distributed with shape S / `LARGEST_CV`^2, and the mean difference divided by the quantile of that at
the level is an exact bound. Lognormal and normal factors have larger quantiles. Measured ladders have coefficients of variation of
0.15 to 0.51 where a cut loses at least half the margin; docs/calibration.md shows what happens above `LARGEST_CV`.

Differences below zero have no log. They show noise on both sides, and all that is smaller than the largest of them counts as that
large. So does what is below `TINY` of the margin: how it differs between seeds does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri, gammaincinv, stdtrit

from sweep.verdict.bounds import Array, Estimates, Mask, Moments, Side, joined

FLOOR = 0.2
"""Least standard deviation between seeds, as a share of the mean difference."""

OTHERS = 2
MORE = 0.5
"""Degrees of freedom that each of up to `OTHERS` other cuts adds to the variance of the log differences."""

LARGEST_CV = 0.7
"""Coefficient of variation between seeds of what a cut loses, at most: more than was measured; see above."""

TINY = 0.02
"""Share of the margin below which differences are not told apart on the log scale."""


@dataclass(frozen=True, slots=True)
class LogSpread:
    """How much the log differences of cuts vary between seeds; both (studies, ranks).

    Attributes:
        variance: of one seed.
        telling: cuts that are clearly above zero at one seed at least, and at no seed too small to have a log.
    """

    variance: Array
    telling: Mask


@dataclass(frozen=True, slots=True)
class CutEstimates:
    """Estimated contrasts of cuts with the uncut adapter. All arrays (studies, ranks).

    Attributes:
        value: the estimate.
        paired: variance between seeds of the contrast, one seed.
        widened: the same, not less than that of milder cuts or of the floor; for upper bounds.
        loss: mean difference to the uncut adapter, small and negative differences raised so that they have a log.
        log_variance: variance between seeds of the log difference, one seed; not less than the mean over the cuts.
        more_df: degrees of freedom that other cuts add to it.
        spread: of each cut alone, as of the last look that had all its seeds.
        of_margin: variance between seeds of the margin, one seed.
        examples: variance of the estimate that stems from the choice of examples.
        skew: third central moment of the estimate that stems from the choice of examples.
        seeds: the number of seeds the variances are estimated from.
        example_df: degrees of freedom of `examples`.
    """

    value: Array
    paired: Array
    widened: Array
    loss: Array
    log_variance: Array
    more_df: Array
    spread: LogSpread
    of_margin: Array
    examples: Array
    skew: Array
    seeds: int
    example_df: float

    def half_width(self, side: Side, level: float | Array, seeds: float | Array | None = None) -> Array:
        """Distance from the estimate to its one-sided confidence bound; see `bounds.Estimates.half_width`."""
        count = np.asarray(self.seeds if seeds is None else seeds, dtype=np.float64)
        one_sided = np.asarray(level)
        student = stdtrit(count - 1, 1 - one_sided) ** 2
        seed_part = self.paired / count
        from_seeds = student * seed_part
        if side is Side.UPPER:
            multiplied = self._multiplied(one_sided, count)
            from_seeds = np.maximum(student * self.widened / count, multiplied**2 + student * self.of_margin / count)
        return joined(side, from_seeds, seed_part, self.examples, self.skew, self.example_df, one_sided)

    def _multiplied(self, level: Array, count: Array) -> Array:
        """Half-width for differences between seeds that are factors."""
        df = count - 1 + self.more_df
        of_mean = stdtrit(df, 1 - level) ** 2 * self.log_variance / count
        of_variance = self.log_variance / 2 * (df / chdtri(df, 1 - level) - 1)
        width: Array = self.loss * np.expm1(np.minimum(np.sqrt(of_mean + of_variance**2), _LARGE))
        shape = count / LARGEST_CV**2
        at_largest_cv: Array = self.loss * (shape / gammaincinv(shape, level) - 1)
        return np.minimum(width, at_largest_cv, dtype=np.float64)

    def repeated(self, times: int) -> CutEstimates:
        """Every study this many times."""

        def rows(values: Array) -> Array:
            return np.repeat(values, times, axis=0)

        return replace(
            self,
            value=rows(self.value),
            paired=rows(self.paired),
            widened=rows(self.widened),
            loss=rows(self.loss),
            log_variance=rows(self.log_variance),
            more_df=rows(self.more_df),
            spread=LogSpread(rows(self.spread.variance), np.repeat(self.spread.telling, times, axis=0)),
            of_margin=rows(self.of_margin),
            examples=rows(self.examples),
            skew=rows(self.skew),
        )


_LARGE = 50.0  # a larger exponent would overflow


def cut_estimates(
    of: Moments, contrast: Estimates, difference: Estimates, margin: Estimates, judged: Mask, before: LogSpread | None
) -> CutEstimates:
    """Estimates of the contrasts of cuts with the uncut adapter.

    Args:
        contrast: (studies, ranks), of each rank with the uncut adapter; the last rank is that itself.
        difference: (studies, ranks), the loss of each rank minus that of the uncut adapter.
        margin: (studies, ranks), the difference minus the contrast: the margin that is allowed.
        judged: (studies, ranks), ranks that have all seeds, and the uncut adapter.
        before: the spread at the look before, None at the first.
    """
    cuts = judged.copy()
    cuts[:, -1] = False
    milder = np.where(cuts, contrast.paired, 0.0)
    at_least = np.maximum.accumulate(milder[:, ::-1], axis=1)[:, ::-1]
    floor = (FLOOR * np.maximum(difference.value, 0)) ** 2

    by_seed = of.by_seed - of.by_seed[:, -1:]
    smallest, largest = by_seed.min(axis=2), by_seed.max(axis=2)
    tiny = TINY * np.maximum(margin.value, 0)
    raised = np.maximum(by_seed, np.maximum(np.maximum(-smallest, tiny), _NOTHING)[..., None])
    logs = np.log(raised)
    own = logs.var(axis=2, ddof=1)
    telling = cuts & (np.abs(smallest) > tiny) & (largest > np.maximum(-smallest, tiny))
    if before is not None:
        own, telling = np.where(judged, own, before.variance), np.where(judged, telling, before.telling)
    number = telling.sum(axis=1, keepdims=True)
    common = (own * telling).sum(axis=1, keepdims=True) / np.maximum(number, 1)
    return CutEstimates(
        value=contrast.value,
        paired=contrast.paired,
        widened=np.maximum(np.maximum(contrast.paired, at_least), floor),
        loss=raised.mean(axis=2),
        log_variance=np.maximum(own, common),
        more_df=MORE * np.minimum(number - telling, OTHERS),
        spread=LogSpread(own, telling),
        of_margin=margin.paired,
        examples=contrast.examples,
        skew=contrast.skew,
        seeds=contrast.seeds,
        example_df=contrast.example_df,
    )


def paired_estimates(of: Estimates) -> CutEstimates:
    """The same estimates with Student's bounds alone, paired, at the full level."""
    nothing = np.zeros_like(of.value)
    return CutEstimates(
        value=of.value,
        paired=of.paired,
        widened=of.paired,
        loss=nothing,
        log_variance=nothing,
        more_df=nothing,
        spread=LogSpread(nothing, np.zeros(nothing.shape, bool)),
        of_margin=nothing,
        examples=of.examples,
        skew=of.skew,
        seeds=of.seeds,
        example_df=of.example_df,
    )


_NOTHING = 1e-300  # has a log
