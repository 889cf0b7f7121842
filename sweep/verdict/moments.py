"""Means and variance components of a ranks x seeds x examples table of losses, for many studies at once.

Seeds and examples are two crossed random factors. For the loss of rank r with seed s on example i

    L[r, s, i] = mu[r] + A[r, s] + B[r, i] + G[r, s, i]

where A (seeds), B (examples) and G (their interaction) may have any variance at each rank and any correlation between ranks.
A contrast of ranks with coefficients c then has the mean c'mu, and its estimate over S seeds and examples of weight w[i]
(summing to 1) the variance

    c'cov(A)c / S  +  sum(w^2) c'cov(B)c  +  sum(w^2) c'cov(G)c / S

The covariance of per-seed means contains the first and the third term, that of per-example means the second and the third:
their sum counts the interaction twice. It is estimated from the residuals and taken out of the example part once
(`example_covariance`), as in the analysis of a two-way crossed design (Searle, Casella and McCulloch 1992, ch. 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """What the tests need of a batch of studies. Columns are the ranks, ascending, and last the unadapted base.

    The base has no seeds: its seed covariances are zero. Without a base its column is zero throughout.

    Attributes:
        mean: (studies, columns), mean loss.
        seed_covariance: (studies, columns, columns), of per-seed means; divided by `seeds` it is the covariance of means.
        example_covariance: (studies, columns, columns), the part of the means' covariance that more seeds leave as it is.
        example_parts: (studies, columns, examples), what each example adds to the deviation of the mean: its weight times the
            difference of its own mean over seeds to the mean. Their third powers tell how skewed the mean is.
        seeds: number of seeds, at least 2.
        example_df: degrees of freedom of the example part.
    """

    mean: Array
    seed_covariance: Array
    example_covariance: Array
    example_parts: Array
    seeds: int
    example_df: float


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

    # the mean is a ratio estimate where weights are random: variance of its linear form (Cochran 1977, ch. 6)
    small_sample = examples / (examples - 1)
    parts = from_example * share
    example_covariance = small_sample * parts @ parts.swapaxes(1, 2)
    weighted = (residual * share).reshape(studies, ranks, seeds * examples)
    interaction = small_sample * weighted @ weighted.swapaxes(1, 2) / ((seeds - 1) * seeds)
    example_covariance[:, :ranks, :ranks] -= interaction

    squared = share**2
    effective = squared.sum() ** 2 / (squared**2).sum()
    return Moments(mean, seed_covariance, example_covariance, parts, seeds, max(float(effective) - 1, 1.0))
