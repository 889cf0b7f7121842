"""What an adapter costs the base in general English: the rise of its loss on prose that has nothing to do with the task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from sweep.evaluation.aggregate import CompletionNats, mean_loss

CONFIDENCE = 0.95
"""Of the two-sided interval."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The rise of the loss on general prose, in nats per token.

    Attributes:
        loss: on the prose, with the adapter.
        rise: that minus the base's.
        low, high: the interval of the rise over paragraphs that could have been chosen; None with fewer than two paragraphs.
        rises: of each paragraph, see `Measures.prose_rises`.
    """

    loss: float
    rise: float
    low: float | None
    high: float | None
    rises: tuple[tuple[float, int], ...] = field(default=(), compare=False)


def forgetting_of(before: Sequence[CompletionNats], after: Sequence[CompletionNats]) -> Forgetting | None:
    """The rise between two evaluations of the same paragraphs.

    A ratio of sums over paragraphs, whose variance is that of its linearization (Cochran 1977, section 6.4), with Student's
    distribution of one degree of freedom less than there are paragraphs. Paragraphs are paired.

    Args:
        before: the bare base's losses.
        after: the adapter's, paragraph by paragraph.

    Returns:
        None without paragraphs.

    Raises:
        TrialDiverged: a loss is not finite.
    """
    if not before or not after:
        return None
    loss = mean_loss(after)
    rises = np.array([one.nats - earlier.nats for earlier, one in zip(before, after, strict=True)])
    tokens = np.array([one.tokens for one in after], dtype=float)
    rise, count = float(rises.sum() / tokens.sum()), len(rises)
    each = tuple((float(nats), one.tokens) for nats, one in zip(rises, after, strict=True))
    if count < 2:
        return Forgetting(loss, rise, None, None, each)
    left = rises - rise * tokens
    error = math.sqrt(count / (count - 1) * float(left @ left)) / float(tokens.sum())
    width = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return Forgetting(loss, rise, rise - width, rise + width, each)
