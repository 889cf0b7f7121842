"""How often a champion is wrongly replaced, and how often a better challenger is promoted: simulated nights, judged by the shipped code.

    python -m benchmarks.promotion [--years 10000] [--quick] [--seed 1] [--out FILE] [--page FILE]

Writes the figures to benchmarks/results/promotion.json and the tables to docs/champion.md. `--quick` takes a twentieth of everything and
writes nothing. Ends with status 1 if wrong promotions exceed alpha by more than two standard errors in a setting that is held to it.

A night has one challenger. `noise` is that of the difference of two adapters' losses on a unit (a group of certify examples). At the
boundary the challenger is exactly as good as it may at most be without deserving promotion on one of the two sides, and passes the other
one surely: that is the worst there is, since a promotion takes both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.verdict_calibration.document import written
from benchmarks.verdict_calibration.tables import percent, table
from sweep.verdict.bounds import TAIL, Array
from sweep.verdict.promotion import Condition, GainLosses, PairedLosses, check_condition, level_of
from sweep.verdict.promotion.bound import rejected

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "promotion.json"
PAGE = HERE.parent / "docs" / "champion.md"
ALPHA = 0.05
NIGHTS = 365
Noise = Callable[[np.random.Generator, Array], Array]
"""From standard normal values to noise with a mean of zero."""


def _student(random: np.random.Generator, normal: Array) -> Array:
    return normal / np.sqrt(random.chisquare(3, normal.shape) / 3)


def _lognormal(scale: float, sign: int = 1) -> Noise:
    def noise(_: np.random.Generator, normal: Array) -> Array:
        return sign * (np.exp(scale * normal) - np.exp(scale**2 / 2))

    return noise


def _difference(random: np.random.Generator, normal: Array) -> Array:
    second = random.standard_normal(normal.shape)
    return np.exp(normal) - np.exp(0.5) - (np.exp(second) - np.exp(0.5)) / 2


def _some_much_worse(random: np.random.Generator, normal: Array) -> Array:
    worse = random.random(normal.shape) < 0.1
    return 0.3 * normal + worse * random.standard_exponential(normal.shape) - 0.1


def _groups(random: np.random.Generator, normal: Array) -> Array:
    """Groups of one to many examples, with a part that their examples share; examples have lognormal numbers of tokens."""
    size = random.geometric(0.4, normal.shape)
    tokens = np.exp(0.5 * random.standard_normal(normal.shape))
    return tokens * (size * 0.7 * normal + np.sqrt(size) * random.standard_normal(normal.shape))


NOISES: Mapping[str, Noise] = {
    "normal": lambda _, normal: normal,
    "Student's t, 3 df": _student,
    "lognormal 0.6": _lognormal(0.6),
    "lognormal 1": _lognormal(1.0),
    "lognormal 1, long tail of gains": _lognormal(1.0, -1),
    "difference of lognormals": _difference,
    "a tenth much worse": _some_much_worse,
    "groups": _groups,
}


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
        better_every: every so many nights the challenger is truly better instead, by ten standard errors.

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
        draws = max(number * 40 // units, 1000)
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
                rows.append(
                    {"units": units, "noise": name, "level": level, **{key: round(v, 2) for key, v in times.items()}}
                )
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
                    noise = _lognormal(0.6)(random, random.standard_normal((2, units))) * spread / 0.79
                    each = [
                        PairedLosses(row - gain * share, np.ones(units), units)
                        for row, share in zip(noise, (1.0, kept), strict=True)
                    ]
                    found.append(check_condition(GainLosses(*each), margin, ALPHA).condition)
                shares = {str(state): round(found.count(state) / number, 3) for state in Condition}
                rows.append({"margin": margin, "units": units, "kept": round(kept, 3), **shares})
    return rows


def yearly(number: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Wrong promotions a year."""
    settings: list[tuple[str, int, float, int | None]] = [
        *((name, 100, 0.5, None) for name in NOISES),
        *((name, 40, 0.5, None) for name in NOISES),
        *(("lognormal 1", 40, shared, None) for shared in (0.0, 0.9)),
        *((name, 100, 0.5, 30) for name in ("normal", "lognormal 1", "a tenth much worse")),
    ]
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


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The tables of docs/champion.md by name."""
    names = list(NOISES)
    bounds = {(row["units"], row["noise"], row["level"]): row for row in results["bounds"]}
    sizes = (20, 40, 100, 400)
    kinds = {"student": "Student", "corrected": "Student, corrected for skewness", "likelihood": "likelihood"}
    worst = [
        [f"{level:g}", words, *(f"{max(bounds[size, name, level][key] for name in names):.1f}" for size in sizes)]
        for level in (1e-2, 1e-3, 1e-4)
        for key, words in kinds.items()
    ]
    rows = results["years"]
    by_setting = [
        [row["noise"], row["units"], f"{row['shared']:g}", _better(row), percent(row["wrong"])] for row in rows
    ]
    chances = list(results["power"][0]["chances"])
    return {
        "promotion_run": (
            f"{results['number']:,} simulated years of {NIGHTS} nights in each of {len(rows)} settings "
            f"({results['seconds']} s on one core). The largest share of years with a wrong promotion is "
            f"{percent(max(row['wrong'] for row in rows))}; {percent(ALPHA)} is promised."
        ),
        "promotion_bounds": table(["level", "test", *(f"{size} units" for size in sizes)], worst),
        "promotion_years": table(
            ["noise", "units", "correlation of nights", "truly better challengers", "years with a wrong promotion"],
            by_setting,
        ),
        "promotion_power": table(
            ["spread, in margins", "units", "test", "promotions before", *(f"better by {each}" for each in chances)],
            [
                [
                    row["spread"],
                    row["units"],
                    row["test"],
                    row["promotions"],
                    *(f"{v:.2f}" for v in row["chances"].values()),
                ]
                for row in results["power"]
            ],
        ),
        "promotion_conditions": table(
            ["margin", "units", "share of the gain kept", *Condition],
            [
                [f"{row['margin']:g}", row["units"], f"{row['kept']:g}", *(f"{row[state]:.2f}" for state in Condition)]
                for row in results["conditions"]
            ],
        ),
    }


def _better(row: Mapping[str, Any]) -> str:
    return "none" if row["better_every"] is None else f"every {row['better_every']} nights, {row['right']:g} promoted"


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--years", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything; writes nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    number = arguments.years // 20 if arguments.quick else arguments.years
    started = time.process_time()
    random = np.random.default_rng(arguments.seed)
    results: dict[str, Any] = {
        "number": number,
        "seed": arguments.seed,
        "alpha": ALPHA,
        "bounds": rates_of_bounds(50 * number, random),
        "years": yearly(number, random),
        "power": power(max(number // 10, 100), random),
        "conditions": conditions(max(number // 20, 50), random),
    }
    results["seconds"] = round(time.process_time() - started)
    texts = blocks(results)
    print("\n\n".join(texts.values()))
    if not arguments.quick:
        arguments.out.write_text(json.dumps(results, separators=(",", ":")).replace("},{", "},\n{") + "\n")
        arguments.page.write_text(written(arguments.page.read_text(), texts))
    allowed = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / number)
    return int(any(row["wrong"] > allowed for row in results["years"]))


if __name__ == "__main__":
    sys.exit(main())
