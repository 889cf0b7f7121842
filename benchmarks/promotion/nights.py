"""Simulated nights and tests, judged by the shipped code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.promotion.noises import NOISES, Noise, lognormal
from benchmarks.verdict_calibration.tables import percent
from sweep.verdict.bounds import TAIL, Array
from sweep.verdict.promotion import Condition, GainLosses, PairedLosses, check_condition, level_of
from sweep.verdict.promotion.bound import rejected

ALPHA = 0.05
NIGHTS = 365
Setting = tuple[str, int, float, int | None]
"""Noise, units, correlation of nights, and every how many nights the challenger is truly better."""
MANY_UNITS: tuple[Setting, ...] = (
    *((name, 100, 0.5, None) for name in NOISES),
    *((name, 100, 0.5, 30) for name in ("normal", "lognormal 1", "a tenth much worse")),
)
FEW_UNITS: tuple[Setting, ...] = (
    *((name, 40, 0.5, None) for name in NOISES),
    *(("lognormal 1", 40, shared, None) for shared in (0.0, 0.9)),
)


def years(
    noise: Noise,
    number: int,
    random: np.random.Generator,
    *,
    units: int,
    shared: float = 0.5,
    nights: int = NIGHTS,
    better_every: int | None = None,
) -> tuple[Array, Array]:
    """Simulates nights with a challenger that does not deserve promotion, on the same certify examples all year.

    Args:
        units: of certify examples.
        shared: correlation of what the examples say on two nights.
        better_every: interval in nights at which the challenger is truly better instead, by ten standard errors.

    Returns:
        (years,) whether a challenger was wrongly promoted; (years,) how many were rightly promoted.
    """
    common = random.standard_normal((number, units))
    wrong, right = np.zeros(number, bool), np.zeros(number, int)
    for night in range(1, nights + 1):
        own = random.standard_normal((number, units))
        values = noise(random, np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
        is_better = better_every is not None and night % better_every == 0
        if is_better:
            values = values - 10 * values.std() / np.sqrt(units)
        counts = np.minimum(right + wrong, night - 1)
        by_count = np.array([level_of(ALPHA, night, int(count)) for count in range(counts.max() + 1)])
        promoted = rejected(values, by_count[counts])
        if is_better:
            right += promoted
        else:
            wrong |= promoted
    return wrong, right


def rates_of_bounds(number: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """How often three tests reject a true null hypothesis, in multiples of their level."""
    rows = []
    for units in (20, 40, 100, 400):
        draws = number if units <= 100 else number // 4
        for name, noise in NOISES.items():
            levels = (1e-2, 1e-3, 1e-4)
            counts = np.zeros((len(levels), 3))
            drawn = 0
            while drawn < draws:
                batch = min(draws - drawn, 4_000_000 // units)
                values = noise(random, random.standard_normal((batch, units)))
                counts += [
                    [*_students(values, level), rejected(values, np.full(batch, level)).sum()] for level in levels
                ]
                drawn += batch
            for level, (student, johnson, ours) in zip(levels, counts / draws, strict=True):
                times = {"student": student / level, "corrected": johnson / level, "likelihood": ours / level}
                if draws * level >= 10:
                    found = {key: round(value, 2) for key, value in times.items()}
                    rows.append({"units": units, "noise": name, "level": level, **found})
    return rows


def _students(values: Array, level: float) -> tuple[int, int]:
    """Rejections by Student's test, and by that with the correction for skewness of the verdict."""
    units = values.shape[-1]
    mean = values.mean(axis=-1)
    from_mean = values - mean[:, None]
    variance = (from_mean**2).sum(axis=-1) / (units - 1) / units
    quantile = float(stdtrit(units - 1, 1 - level))
    half = quantile * np.sqrt(variance)
    skew = np.maximum((from_mean**3).sum(axis=-1) / units**3, 0)
    tail = np.minimum(TAIL * skew * (1 + 2 * quantile**2) / 6 / variance, half)
    return int((mean + half < 0).sum()), int((mean + half + tail < 0).sum())


def power(number: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """The chance that a challenger as good as the champion on the old examples, and better on the new ones, is promoted in its test."""
    rows = []
    for spread in (1.5, 3.0):  # of the difference on a unit, in margins
        for units in (50, 100, 200, 400):
            for test, promotions in ((1, 0), (10, 0), (100, 0), (12, 3)):
                level = np.full(number, level_of(ALPHA, test, promotions))
                old = spread * random.standard_t(5, (number, units)) / np.sqrt(5 / 3)
                holds = rejected(old - 1, level)
                chances = {}
                for better in (0.5, 1.0, 1.5, 2.0, 3.0):
                    new = spread * random.standard_t(5, (number, units)) / np.sqrt(5 / 3)
                    chances[str(better)] = round(float((holds & rejected(new - better, level)).mean()), 3)
                rows.append(
                    {"spread": spread, "units": units, "test": test, "promotions": promotions, "chances": chances}
                )
    return rows


def conditions(number: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """How often the champion is called good, worse or unclear, by the share of its gain that it keeps in truth."""
    rows = []
    gain, spread = 2.4, 1.0
    for margin in (0.02, 0.1):
        for units in (50, 200, 1000):
            for kept in (1.0, 1 - margin / 2, 1 - margin, 1 - 2 * margin, 1 - 5 * margin):
                found = []
                for _ in range(number):
                    noise = lognormal(0.6)(random, random.standard_normal((2, units))) * spread / 0.79
                    each = [
                        PairedLosses(row - gain * share, np.ones(units), units)
                        for row, share in zip(noise, (1.0, kept), strict=True)
                    ]
                    found.append(check_condition(GainLosses(*each), margin, ALPHA).condition)
                shares = {str(state): round(found.count(state) / number, 3) for state in Condition}
                rows.append({"margin": margin, "units": units, "kept": round(kept, 3), **shares})
    return rows


def yearly(number: int, random: np.random.Generator, settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Wrong promotions a year."""
    rows = []
    for name, units, shared, better in settings:
        wrong, right = years(NOISES[name], number, random, units=units, shared=shared, better_every=better)
        rows.append(
            {
                "noise": name,
                "units": units,
                "shared": shared,
                "better_every": better,
                "wrong": round(float(wrong.mean()), 4),
                "right": round(float(right.mean()), 2),
            }
        )
        print(f"{name}, {units} units, shared {shared}: {percent(float(wrong.mean()))}", file=sys.stderr, flush=True)
    return rows
