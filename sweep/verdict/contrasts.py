"""The margin as linear contrasts of means, so that the error of estimating the margin itself counts.

"Rank r is worse than rank j by more than the margin" is a statement about one linear combination of expected losses:

    gain    L[r] - (1 - m) L[j] - m base > 0     r loses more than the share m of what j gains over the base
    loss    L[r] - (1 + m) L[j]          > 0     r's loss is more than the share m above j's
    metric  L[r] - L[j] - m              > 0     r's cost is more than m points above j's

A rank is good if no rank j makes its contrast zero or positive. j = r is among them: with `gain` it asks that r itself
improves on the base at all (assay sensitivity: ICH E10, section 1.5), with `loss` and `metric` it is void. It bounds the
difference to the best rank, which may be r itself, from below by about zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.verdict.moments import Array
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
            reference: (..., ranks, ranks), row r: what rank r is held against, as weights of ranks that sum to 1.

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
    """(ranks, ranks, ranks): reference [j, r] holds rank r against rank j alone."""
    return np.broadcast_to(np.eye(ranks)[:, None, :], (ranks, ranks, ranks)).copy()


def against_larger_half(active: NDArray[np.bool_]) -> Array:
    """(studies, ranks, ranks): each rank against the mean of the larger half of the active ranks above it.

    Of an odd number the middle one belongs to that half. A rank without any is held against itself.

    Args:
        active: (studies, ranks), ranks that are compared with.
    """
    ranks = active.shape[1]
    larger = np.triu(np.ones((ranks, ranks), bool), 1) & active[:, None, :]
    from_the_top = np.cumsum(larger[:, :, ::-1], axis=2)[:, :, ::-1]
    count = larger.sum(axis=2, keepdims=True)
    half = larger & (from_the_top <= (count + 1) // 2)
    return np.where(count > 0, half / np.maximum(half.sum(axis=2, keepdims=True), 1), np.eye(ranks))
