"""Confidence bounds of what a cut loses against the uncut adapter of the same seed.

The bound is of the difference over seeds, paired, with S - 1 degrees of freedom at the full level: unlike trained ranks, a
cut and its uncut adapter share their training, so nothing is gained by adding up the variances of the single ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from sweep.verdict.bounds import Array, Mask, Moments, Side, estimates, joined


@dataclass(frozen=True, slots=True)
class CutEstimates:
    """Estimated contrasts of cuts with the uncut adapter. All arrays (studies, ranks).

    Attributes:
        value: the estimate.
        paired: variance between seeds of the contrast, one seed.
        examples: variance of the estimate that stems from the choice of examples.
        skew: third central moment of the estimate that stems from the choice of examples.
        seeds: the number of seeds the variances are estimated from.
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
        one_sided = np.asarray(level)
        seed_part = self.paired / count
        from_seeds = stdtrit(count - 1, 1 - one_sided) ** 2 * seed_part
        return joined(side, from_seeds, seed_part, self.examples, self.skew, self.example_df, one_sided)

    def repeated(self, times: int) -> CutEstimates:
        """Every study this many times."""
        return replace(
            self,
            value=np.repeat(self.value, times, axis=0),
            paired=np.repeat(self.paired, times, axis=0),
            examples=np.repeat(self.examples, times, axis=0),
            skew=np.repeat(self.skew, times, axis=0),
        )


def cut_estimates(of: Moments, coefficients: Array, constant: float, judged: Mask) -> CutEstimates:
    """Estimates of contrasts.

    Args:
        coefficients: (ranks, columns), the contrast of each rank with the uncut adapter.
        constant: added to every contrast.
        judged: (studies, ranks), ranks that have all seeds.
    """
    each = estimates(of, coefficients, constant)
    return CutEstimates(each.value, each.paired, each.examples, each.skew, each.seeds, each.example_df)
