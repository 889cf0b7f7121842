"""Means, variance components and confidence bounds of contrasts of ranks, for many studies at once.

Seeds and examples are two crossed random factors. For the loss of rank r with seed s on example i

    L[r, s, i] = mu[r] + A[r, s] + B[r, i] + G[r, s, i]

where A (seeds), B (examples) and G (their interaction) may have any variance at each rank and any correlation between ranks.
A contrast of ranks with coefficients c then has the mean c'mu, and its estimate over S seeds and examples of weight w[i]
(summing to 1) the variance

    c'cov(A)c / S  +  sum(w^2) c'cov(B)c  +  sum(w^2) c'cov(G)c / S

The covariance of per-seed means contains the first and the third term, that of per-example means the second and the third:
their sum counts the interaction twice. It is estimated from the residuals and taken out of the example part once
(`example_covariance`), as in the analysis of a two-way crossed design (Searle, Casella and McCulloch 1992, ch. 4).

The seed part has few degrees of freedom, and noise may differ between ranks, so nothing is pooled over ranks: the bound of a
contrast uses the seeds of the ranks in it alone. It is the tighter of two:

- paired: variance of the contrast over seeds, S - 1 degrees of freedom. Assumes nothing about ranks.
- unpaired: variances of the single ranks added up, with Welch's degrees of freedom (Welch 1947), up to (S - 1) times the
  number of ranks. Assumes that a seed does not push two ranks in opposite directions (correlation not negative); is
  the tighter one when seeds are hardly correlated, and the looser one when they are strongly so.

Their levels are the fixed shares `UNPAIRED` and `PAIRED` of the level. The shares add up to more than one because both tests
are of the same mean, so that they err together; that the whole keeps its level is shown by simulation
(`benchmarks/verdict_calibration`).

Seed and example part are joined as sqrt(t_seeds^2 V_seeds + t_examples^2 V_examples), each with its own Student quantile.
Such a bound never falls short of its level, whatever the ratio of the two (Banerjee 1960), unlike one with Satterthwaite's
estimated degrees of freedom, which is too short if few seeds happen to agree.

Losses of examples are skewed: a few are hard. Where examples carry much of the noise, the Student bound on the side of the
long tail is too short. Johnson's correction (1978) of the mean for its estimated skewness is added on that side, and not
taken off the other. It is taken `TAIL` times: the skewness seen in a sample from a long tail is too small, since the longest
part of the tail is seldom in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Moments:
    """What the tests need of a batch of studies. Columns are the ranks, ascending, and last the unadapted base.

    The base has no seeds: its seed covariances are zero. Without a base its column is zero throughout.

    Attributes:
        mean: (studies, columns), mean loss.
        seed_covariance: (studies, columns, columns), of per-seed means; divided by `seeds` it is the covariance of means.
        example_covariance: (studies, columns, columns), the part of the means' covariance that more seeds leave as it is.
        example_parts: (studies, columns, examples), what each example adds to the deviation of the mean: its weight times the
            difference of its own mean over seeds to the mean. Their third powers give the skewness of the mean.
        by_seed: (studies, ranks, seeds), mean loss of each seed.
        seeds: number of seeds, at least 2.
        example_df: degrees of freedom of the example part.
    """

    mean: Array
    seed_covariance: Array
    example_covariance: Array
    example_parts: Array
    by_seed: Array
    seeds: int
    example_df: float

    def with_examples(self, times: float) -> Moments:
        """The moments if there were `times` as many examples, the same on average."""
        return replace(
            self,
            example_covariance=self.example_covariance / times,
            # their third powers add up to the skewness of the mean, which falls with the square of the number
            example_parts=self.example_parts / times ** (2 / 3),
            example_df=(self.example_df + 1) * times - 1,
        )

    def repeated(self, times: int) -> Moments:
        """Every study this many times."""
        return replace(
            self,
            mean=np.repeat(self.mean, times, axis=0),
            seed_covariance=np.repeat(self.seed_covariance, times, axis=0),
            example_covariance=np.repeat(self.example_covariance, times, axis=0),
            example_parts=np.repeat(self.example_parts, times, axis=0),
            by_seed=np.repeat(self.by_seed, times, axis=0),
        )


def moments(losses: Array, base: Array, weights: Array) -> Moments:
    """Means and covariances of a batch of studies.

    Args:
        losses: (studies, ranks, seeds, examples), at least 2 seeds and 2 examples.
        base: (studies, examples) or (examples,), losses of the unadapted base; zeros if there is none.
        weights: (examples,), positive, of any scale.
    """
    studies, ranks, seeds, examples = losses.shape
    share = weights / weights.sum()
    by_seed = losses @ share
    by_example = np.concatenate([losses.mean(axis=2), np.broadcast_to(base, (studies, examples))[:, None, :]], axis=1)
    mean = by_example @ share

    from_seed = by_seed - mean[:, :ranks, None]
    from_example = by_example - mean[:, :, None]
    residual = losses - by_seed[..., None] - from_example[:, :ranks, None, :]

    seed_covariance = np.zeros((studies, ranks + 1, ranks + 1))
    seed_covariance[:, :ranks, :ranks] = from_seed @ from_seed.swapaxes(1, 2) / (seeds - 1)

    # the mean is a ratio estimate if weights are random: variance of its linear form (Cochran 1977, ch. 6)
    small_sample = examples / (examples - 1)
    parts = from_example * share
    example_covariance = small_sample * parts @ parts.swapaxes(1, 2)
    weighted = (residual * share).reshape(studies, ranks, seeds * examples)
    interaction = small_sample * weighted @ weighted.swapaxes(1, 2) / ((seeds - 1) * seeds)
    example_covariance[:, :ranks, :ranks] -= interaction

    squared = share**2
    effective = squared.sum() ** 2 / (squared**2).sum()
    return Moments(mean, seed_covariance, example_covariance, parts, by_seed, seeds, max(float(effective) - 1, 1.0))


UNPAIRED = 0.8
PAIRED = 0.4
TAIL = 2.0


class Side(IntEnum):
    """Which bound."""

    UPPER = 1
    LOWER = -1


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimated contrasts of a batch of studies. All arrays (studies, contrasts).

    Attributes:
        value: the estimate.
        paired: variance between seeds of the contrast, one seed.
        unpaired: the same, from the single ranks' variances.
        components: Welch's degrees of freedom of `unpaired`, in units of S - 1: from 1 to the number of ranks involved.
        examples: variance of the estimate that stems from the choice of examples.
        skew: third central moment of the estimate that stems from the choice of examples.
        seeds: the number of seeds the variances are estimated from.
        example_df: degrees of freedom of `examples`.
    """

    value: Array
    paired: Array
    unpaired: Array
    components: Array
    examples: Array
    skew: Array
    seeds: int
    example_df: float

    def half_width(self, side: Side, level: float | Array, seeds: float | Array | None = None) -> Array:
        """Distance from the estimate to its one-sided confidence bound.

        Args:
            side: of the bound.
            level: one-sided error probability, one number or one a contrast.
            seeds: a hypothetical number of seeds, with the variances seen; broadcast against the arrays.
        """
        count = np.asarray(self.seeds if seeds is None else seeds, dtype=np.float64)
        unpaired = self._joined(
            side, self.unpaired / count, self.components * (count - 1), UNPAIRED * np.asarray(level)
        )
        paired = self._joined(side, self.paired / count, count - 1, PAIRED * np.asarray(level))
        return np.minimum(unpaired, paired)

    def take(self, which: NDArray[np.intp]) -> Estimates:
        """Some of the contrasts."""
        return self._each(lambda values: values[:, which])

    def repeated(self, times: int) -> Estimates:
        """Every study this many times."""
        return self._each(lambda values: np.repeat(values, times, axis=0))

    def _each(self, change: Callable[[Array], Array]) -> Estimates:
        return replace(
            self,
            value=change(self.value),
            paired=change(self.paired),
            unpaired=change(self.unpaired),
            components=change(self.components),
            examples=change(self.examples),
            skew=change(self.skew),
        )

    def _joined(self, side: Side, seed_part: Array, seed_df: Array, level: Array) -> Array:
        from_seeds = stdtrit(seed_df, 1 - level) ** 2 * seed_part
        return joined(side, from_seeds, seed_part, self.examples, self.skew, self.example_df, level)


def joined(
    side: Side, from_seeds: Array, seed_part: Array, examples: Array, skew: Array, example_df: float, level: Array
) -> Array:
    """Half-width of a bound from its two parts, with the correction for the long tail of examples.

    Args:
        from_seeds: the square of the half-width that seeds alone would give.
        seed_part: variance of the estimate that stems from seeds.
        examples, skew: variance and third central moment of the estimate that stem from the choice of examples.
        level: one-sided error probability.
    """
    of_examples = stdtrit(example_df, 1 - level) ** 2
    symmetric = np.sqrt(from_seeds + of_examples * examples)
    variance = seed_part + examples
    tail = TAIL * np.maximum(side * skew, 0) * (1 + 2 * of_examples) / 6
    correction = np.divide(tail, variance, out=np.zeros_like(symmetric), where=variance > 0)
    # a variance that is estimated near zero says nothing of the shape: there the width is doubled at most
    width: Array = symmetric + np.minimum(correction, symmetric)
    return width


def estimates(of: Moments, coefficients: Array, constant: float) -> Estimates:
    """Contrasts of a batch of studies.

    Args:
        coefficients: (contrasts, columns) or (studies, contrasts, columns).
        constant: added to every contrast; known without error.
    """
    value = (coefficients @ of.mean[..., None])[..., 0] + constant
    paired = np.maximum(_quadratic(coefficients, of.seed_covariance), 0)
    examples = np.maximum(_quadratic(coefficients, of.example_covariance), 0)
    single = np.diagonal(of.seed_covariance, axis1=1, axis2=2)
    unpaired = (coefficients**2 @ single[..., None])[..., 0]
    squares = (coefficients**4 @ (single**2)[..., None])[..., 0]
    components = np.divide(unpaired**2, squares, out=np.ones_like(unpaired), where=squares > 0)
    skew = ((coefficients @ of.example_parts) ** 3).sum(axis=-1)
    return Estimates(value, paired, unpaired, components, examples, skew, of.seeds, of.example_df)


def lower_bounds(
    losses: Array, base: Array, weights: Array, coefficients: Array, constant: float, level: float
) -> Array:
    """Lower confidence bounds of contrasts, (studies, contrasts); minus infinity with one seed or one example.

    Args:
        losses, base, weights: as for `moments`.
        coefficients, constant: as for `estimates`.
        level: one-sided error probability.
    """
    studies, _, seeds, examples = losses.shape
    if seeds < 2 or examples < 2:
        return np.full((studies, coefficients.shape[-2]), -np.inf)
    contrast = estimates(moments(losses, base, weights), coefficients, constant)
    bounds: Array = contrast.value - contrast.half_width(Side.LOWER, level)
    return bounds


def least_gains(
    table: Array, base: Array, weights: Array, level: float, *, share: float = 0.0, points: float = 0.0
) -> Array:
    """Lower confidence bounds of base - (1 + share) * table - points, (studies,); minus infinity with one example.

    One seed says nothing of the noise between seeds: what is bounded then is the gain of that one adapter on other examples.

    Args:
        table: (studies, seeds, examples), losses or costs of a rank.
        base: (studies, examples) or (examples,), of the base, or of whatever else the rank is compared with.
    """
    seeds = table if table.shape[1] > 1 else np.repeat(table, 2, axis=1)  # the same adapter twice: no noise of seeds
    bounds: Array = lower_bounds(seeds[:, None], base, weights, np.array([[-1.0 - share, 1.0]]), -points, level)[:, 0]
    return bounds


def _quadratic(coefficients: Array, covariance: Array) -> Array:
    """c'Vc of each row c of the coefficients."""
    form: Array = ((coefficients @ covariance) * coefficients).sum(axis=-1)
    return form
