"""Confidence bounds of contrasts under two variance components, seeds and examples.

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
estimated degrees of freedom, which is too short where few seeds happen to agree.

Losses of examples are skewed: a few are hard. Where examples carry much of the noise, the Student bound on the side of the
long tail is too short. Johnson's correction (1978) of the mean for its estimated skewness is added on that side, and not
taken off the other. It is taken `TAIL` times: the skewness seen in a sample from a long tail is too small, since the longest
part of the tail is seldom in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sweep.verdict.moments import Array, Moments

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
            seeds: as if there were so many seeds with the variances seen; broadcast against the arrays.
        """
        count = np.asarray(self.seeds if seeds is None else seeds, dtype=np.float64)
        unpaired = self._joined(
            side, self.unpaired / count, self.components * (count - 1), UNPAIRED * np.asarray(level)
        )
        paired = self._joined(side, self.paired / count, count - 1, PAIRED * np.asarray(level))
        return np.minimum(unpaired, paired)

    def take(self, which: NDArray[np.intp]) -> Estimates:
        """Some of the contrasts."""
        return Estimates(
            value=self.value[:, which],
            paired=self.paired[:, which],
            unpaired=self.unpaired[:, which],
            components=self.components[:, which],
            examples=self.examples[:, which],
            skew=self.skew[:, which],
            seeds=self.seeds,
            example_df=self.example_df,
        )

    def _joined(self, side: Side, seed_part: Array, seed_df: Array, level: Array) -> Array:
        of_examples = stdtrit(self.example_df, 1 - level) ** 2
        symmetric = np.sqrt(stdtrit(seed_df, 1 - level) ** 2 * seed_part + of_examples * self.examples)
        variance = seed_part + self.examples
        tail = TAIL * np.maximum(side * self.skew, 0) * (1 + 2 * of_examples) / 6
        correction = np.divide(tail, variance, out=np.zeros_like(symmetric), where=variance > 0)
        # a variance that is estimated near zero says nothing of the shape: there the width is doubled at most
        joined: Array = symmetric + np.minimum(correction, symmetric)
        return joined


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


def _quadratic(coefficients: Array, covariance: Array) -> Array:
    """c'Vc of each row c of the coefficients."""
    form: Array = ((coefficients @ covariance) * coefficients).sum(axis=-1)
    return form
