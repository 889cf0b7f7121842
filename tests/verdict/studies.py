"""Made-up losses of a ladder for the tests of the statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BASE = 4.7


def losses_of(
    means: Sequence[float],
    seeds: int = 5,
    examples: int = 40,
    seed_sd: float = 0.02,
    example_sd: float = 0.05,
    draw: int = 0,
) -> Array:
    """(ranks, seeds, examples): means plus noise of seeds, of examples (shared and own) and of both."""
    random = np.random.default_rng(draw)
    ranks = len(means)
    seed = seed_sd * random.standard_normal((ranks, seeds, 1))
    shared = 0.1 * random.standard_normal(examples)
    own = example_sd * random.standard_normal((ranks, 1, examples))
    both = example_sd / 2 * random.standard_normal((ranks, seeds, examples))
    losses: Array = np.array(means)[:, None, None] + seed + shared + own + both
    return losses


def base_of(examples: int = 40, draw: int = 0) -> Array:
    """(examples,): losses of the unadapted base."""
    return BASE + 0.3 * np.random.default_rng([draw, 1]).standard_normal(examples)
