"""The margin: how much worse than a reference a rank may be, as one linear combination of expected losses.

gain    L[r] - (1 - m) L[j] - m base > 0     r loses more than the share m of what j gains over the base
loss    L[r] - (1 + m) L[j]          > 0     r's loss is more than the share m above j's
metric  L[r] - L[j] - m              > 0     r's cost is more than m points above j's
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.verdict.bounds import Array
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
