"""What else could have been done, with the numbers that decided against it.

Seed noise only (examples without noise), one comparison with the best rank, true difference at the margin for the level, and
no difference with a margin of 2.8 standard deviations of a seed for power; five ranks where a method uses them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import digamma, polygamma, stdtrit

from benchmarks.verdict_calibration.draw import Array
from sweep.verdict.bounds import PAIRED, UNPAIRED, Mask
from sweep.verdict.spending import levels, spent

ALPHA = 0.05
RANKS = 5
MARGIN = 2.8
BATCH = 10_000

WidthOf = Callable[[Array, float], Array]


def quantile(df: Array | float, level: float) -> Array:
    """Upper quantile of Student's distribution."""
    return np.asarray(stdtrit(df, 1 - level))


def paired(x: Array, level: float) -> Array:
    """Variance of the difference over seeds."""
    seeds = x.shape[2]
    width: Array = quantile(seeds - 1, level) * (x[:, 0] - x[:, 1]).std(axis=1, ddof=1) / np.sqrt(seeds)
    return width


def welch(x: Array, level: float) -> Array:
    """Variances of both ranks added, Welch's degrees of freedom."""
    seeds = x.shape[2]
    single = x[:, :2].var(axis=2, ddof=1)
    total = single.sum(axis=1)
    width: Array = quantile((seeds - 1) * total**2 / (single**2).sum(axis=1), level) * np.sqrt(total / seeds)
    return width


def shipped(x: Array, level: float) -> Array:
    """The tighter of both at fixed shares of the level."""
    return np.minimum(welch(x, UNPAIRED * level), paired(x, PAIRED * level))


def halves(x: Array, level: float) -> Array:
    """The tighter of both at shares that add up to one."""
    return np.minimum(welch(x, 0.8 * level), paired(x, 0.2 * level))


def pooled(x: Array, level: float) -> Array:
    """Residual of rank x seed over all ranks."""
    _, ranks, seeds = x.shape
    df = (ranks - 1) * (seeds - 1)
    width: Array = quantile(df, level) * np.sqrt(2 * _residual(x) / df / seeds)
    return width


def larger_of_pooled_and_own(x: Array, level: float) -> Array:
    """Pooled, or the pair's own variance if that is larger, at the pooled degrees of freedom."""
    _, ranks, seeds = x.shape
    df = (ranks - 1) * (seeds - 1)
    own = (x[:, 0] - x[:, 1]).var(axis=1, ddof=1)
    width: Array = quantile(df, level) * np.sqrt(np.maximum(own, 2 * _residual(x) / df) / seeds)
    return width


def moderated(x: Array, level: float) -> Array:
    """Variances of ranks shrunk towards each other, strength estimated (Smyth 2004)."""
    _, ranks, seeds = x.shape
    df = seeds - 1
    single = x.var(axis=2, ddof=1)
    log = np.log(single) - digamma(df / 2) + np.log(df / 2)
    excess = log.var(axis=1, ddof=1) - polygamma(1, df / 2)
    half = _inverse_trigamma(np.maximum(excess, 1e-8))
    prior_df = np.where(excess > 0, 2 * half, 1e6)
    prior = np.exp(log.mean(axis=1) + digamma(prior_df / 2) - np.log(prior_df / 2))
    shrunk = (prior_df[:, None] * prior[:, None] + df * single) / (prior_df[:, None] + df)
    width: Array = quantile(np.minimum(2 * (prior_df + df), ranks * df), level) * np.sqrt(
        shrunk[:, :2].sum(axis=1) / seeds
    )
    return width


METHODS: Mapping[str, WidthOf] = {
    "shipped": shipped,
    "paired only": paired,
    "Welch only": welch,
    "shares 0.8 and 0.2": halves,
    "pooled over ranks": pooled,
    "max(pooled, own)": larger_of_pooled_and_own,
    "moderated (limma)": moderated,
}


def variances(studies: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Level and power of ways to estimate the variance between seeds."""
    rows = []
    for seeds in (2, 3, 5, 8):
        rows += [
            {"method": name, "seeds": seeds, **_measured(width, seeds, studies, random)}
            for name, width in METHODS.items()
        ]
    return rows


def _measured(width: WidthOf, seeds: int, studies: int, random: np.random.Generator) -> dict[str, float]:
    def share(noise: float, correlation: float, below: float) -> float:
        passed = 0
        for start in range(0, studies, BATCH):
            x = _studies(min(BATCH, studies - start), seeds, noise, correlation, random)
            passed += int(((x[:, 0] - x[:, 1]).mean(axis=1) + width(x, ALPHA) < below).sum())
        return round(passed / studies, 4)

    return {
        "level_equal": share(1, 0, 0),
        "level_small_x4": share(4, 0, 0),
        "level_correlated_-0.2": share(1, -0.2, 0),
        "power_equal": share(1, 0, MARGIN),
        "power_correlated_0.6": share(1, 0.6, MARGIN),
    }


def joinings(studies: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Level of two ways to join seed and example part, by the example part's share of the variance."""
    rows = []
    examples_df = 63
    for seeds in (2, 3, 5):
        for share in (0.1, 0.5, 0.9):
            estimate = random.standard_normal(studies)
            seed_part = (1 - share) * random.chisquare(seeds - 1, studies) / (seeds - 1)
            example_part = share * random.chisquare(examples_df, studies) / examples_df
            total = seed_part + example_part
            df = total**2 / (seed_part**2 / (seeds - 1) + example_part**2 / examples_df)
            satterthwaite = quantile(df, ALPHA) * np.sqrt(total)
            separate = quantile(seeds - 1, ALPHA) ** 2 * seed_part + quantile(examples_df, ALPHA) ** 2 * example_part
            rows.append(
                {
                    "seeds": seeds,
                    "example_share": share,
                    "satterthwaite": round(float((estimate < -satterthwaite).mean()), 4),
                    "separate_quantiles": round(float((estimate < -np.sqrt(separate)).mean()), 4),
                }
            )
    return rows


def spendings(studies: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Levels of looks at 3, 5 and 8 seeds: alpha cut into pieces, or levels from the joint distribution."""
    looks = (3, 5, 8)
    pieces = np.diff([0.0, *(spent(ALPHA, look) for look in looks)])
    rows = []
    for name, level in (("pieces of alpha", tuple(map(float, pieces))), ("joint distribution", levels(ALPHA, looks))):
        for noise in (1, 4):
            x = _studies(studies, looks[-1], noise, 0, random)
            wrong, right = np.zeros(studies, bool), np.zeros(studies, bool)
            row: dict[str, Any] = {
                "method": name,
                "noise": noise,
                "levels": [round(value, 4) for value in level],
                "power": [],
            }
            for look, at in zip(looks, level, strict=True):
                bound = (x[:, 0, :look] - x[:, 1, :look]).mean(axis=1) + shipped(x[:, :, :look], at)
                wrong |= bound < 0
                right |= bound < MARGIN * np.hypot(noise, 1) / np.sqrt(2)
                row["power"].append(round(float(right.mean()), 3))
            rows.append({**row, "size": round(float(wrong.mean()), 4)})
    return rows


def sequences(studies: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """How often a good smallest rank of five is certified, by how several ranks are tested; equal noise."""
    rows = []
    for top in ("good", "overfits"):
        for seeds in (3, 5, 8):
            x = _studies(studies, seeds, 1, 0, random)
            if top == "overfits":
                x[:, -1] += 4 * MARGIN
            good = {level: _passes(x, level) for level in (ALPHA, *(ALPHA / count for count in range(1, RANKS + 1)))}
            fixed = np.logical_and.accumulate(good[ALPHA][:, ::-1], axis=1)[:, -1]
            counts = np.arange(RANKS)
            # Holm: the i-th smallest p passes at alpha / (RANKS - i + 1) if all before do
            holm = np.zeros(studies, bool)
            ranks_passed = np.stack([good[ALPHA / (RANKS - step)].sum(axis=1) > step for step in counts])
            reached = np.logical_and.accumulate(ranks_passed, axis=0).sum(axis=0)
            for step in range(RANKS):
                holm |= (reached > step) & good[ALPHA / (RANKS - step)][:, 0]
            gone = _overfits(x)
            gate = np.logical_and.accumulate((good[ALPHA] | gone)[:, ::-1], axis=1)[:, -1] & good[ALPHA][:, 0]
            rows.append(
                {
                    "top": top,
                    "seeds": seeds,
                    "fixed sequence with gate": round(float(gate.mean()), 3),
                    "fixed sequence without": round(float(fixed.mean()), 3),
                    "Holm": round(float(holm.mean()), 3),
                }
            )
    return rows


def _passes(x: Array, level: float) -> Mask:
    """(studies, ranks): below the margin against every other rank."""
    ranks = x.shape[1]
    passes = np.ones(x.shape[:2], bool)
    for rank in range(ranks):
        for other in set(range(ranks)) - {rank}:
            pair = x[:, [rank, other]]
            passes[:, rank] &= (pair[:, 0] - pair[:, 1]).mean(axis=1) + shipped(pair, level) < MARGIN
    return passes


def _overfits(x: Array) -> Mask:
    """(studies, ranks): ranks at the top shown worse than a smaller one by more than the margin (Bonferroni)."""
    ranks = x.shape[1]
    worse = np.zeros(x.shape[:2], bool)
    for rank in range(1, ranks):
        for other in range(rank):
            pair = x[:, [rank, other]]
            worse[:, rank] |= (pair[:, 0] - pair[:, 1]).mean(axis=1) - shipped(pair, ALPHA / rank) > MARGIN
    return np.logical_and.accumulate(worse[:, ::-1], axis=1)[:, ::-1]


def _studies(studies: int, seeds: int, noise: float, correlation: float, random: np.random.Generator) -> Array:
    """(studies, ranks, seeds) with the first rank noisier than the others."""
    together = np.full((RANKS, RANKS), correlation) + (1 - correlation) * np.eye(RANKS)
    x: Array = np.linalg.cholesky(together) @ random.standard_normal((studies, RANKS, seeds))
    x[:, 0] *= noise
    return x


def _residual(x: Array) -> Array:
    """Sum of squares of rank x seed, (studies,)."""
    centred = x - x.mean(axis=2, keepdims=True)
    centred = centred - centred.mean(axis=1, keepdims=True)
    squares: Array = (centred**2).sum(axis=(1, 2))
    return squares


def _inverse_trigamma(value: Array) -> Array:
    root = 0.5 + 1 / value
    for _ in range(30):
        at = polygamma(1, root)
        root = root + at * (1 - at / value) / polygamma(2, root)
    return root
