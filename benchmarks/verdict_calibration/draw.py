"""Draws studies from a world: losses with crossed seeds and examples, and the base's losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks.verdict_calibration.settings import World

Array = NDArray[np.float64]


def draw(world: World, studies: int, seeds: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Losses (studies, ranks, seeds, examples) whose expectations are exactly the world's, and the base's (studies, examples)."""
    ranks = len(world.truth)
    expected = (world.best + world.margin * np.array(world.truth))[:, None, None]
    seed = world.seed_sd * np.array(world.noise)[:, None] * _seeds(world, (studies, ranks, seeds), random)
    z = random.standard_normal((studies, 1, 1, world.count))
    own = random.standard_normal((studies, ranks, 1, world.count))
    each = random.standard_normal((studies, ranks, seeds, world.count))
    base_own = random.standard_normal((studies, world.count))
    if world.examples == "bernoulli":
        ease = random.uniform(-0.1, 0.1, (studies, 1, 1, world.count))
        latent = ndtr(np.sqrt(0.5) * z + np.sqrt(0.2) * own + np.sqrt(0.3) * each)
        return (latent < expected + seed[..., None] + ease).astype(np.float64), base_own
    if world.examples == "lognormal":
        hard = np.exp(0.7 * z - 0.245)
        spread = world.example_sd / world.best
        particular = np.exp(spread * own - spread**2 / 2)
        losses = expected * hard * particular + seed[..., None] * hard + 0.03 * each
        return losses, world.base * np.exp(0.2 * z[:, 0, 0] + 0.2 * base_own - 0.04)
    if world.examples == "t3":
        own = random.standard_t(3, own.shape) / np.sqrt(3)
        z = random.standard_t(3, z.shape) / np.sqrt(3)
    losses = expected + seed[..., None] + 0.3 * z + world.example_sd * own + 0.03 * each
    return losses, world.base + 0.6 * z[:, 0, 0] + 0.6 * base_own


def _seeds(world: World, shape: tuple[int, int, int], random: np.random.Generator) -> Array:
    """Standardized effects of seeds, (studies, ranks, seeds)."""
    if world.seeds == "skewed":
        return (random.gamma(4.0, 1.0, shape) - 4.0) / 2.0
    ranks = shape[1]
    together = np.full((ranks, ranks), world.correlation) + (1 - world.correlation) * np.eye(ranks)
    return np.linalg.cholesky(together) @ random.standard_normal(shape)
