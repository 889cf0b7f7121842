"""How often an adapter that is no better than the base, or than a lookup, is shown to be: simulated studies, judged by the shipped code.

    python -m benchmarks.verdict_calibration.gains [--studies 10000] [--quick] [--seed 1] [--out DIR]

Nothing is gained in any setting. Prints a table and writes gains.json to DIR. `--quick` takes 500 studies a setting. Ends with status 1 if
a setting exceeds the level by more than three standard errors: of so many rates, some are beyond two by chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from scipy.special import ndtr

from benchmarks.verdict_calibration import tables
from benchmarks.verdict_calibration.rates import ALPHA
from sweep.verdict.bounds import Array, least_gains
from tasks.metrics import macro_f1_shares

SEEDS = (1, 2, 3, 5, 8)
EXAMPLES = (24, 50, 100, 300)
CHUNK = 1000
CLASSES = 5
STRESS = ("lognormal",)

Draw = Callable[[np.random.Generator, int, int, int], tuple[Array, Array]]
"""Of a generator, studies, seeds and examples: (studies, seeds, examples) of the adapters and (studies, examples) of the base."""


def _losses(seed_sd: float, own_sd: float, skewed: float = 0.0) -> Draw:
    """Losses of mean zero; if skewed, examples have a long tail to the right. One seed is one adapter, whose seed is no noise."""

    def noise(random: np.random.Generator, *shape: int) -> Array:
        normal = random.standard_normal(shape)
        return (np.exp(skewed * normal) - np.exp(skewed**2 / 2)) / skewed if skewed else normal

    def draw(random: np.random.Generator, studies: int, seeds: int, examples: int) -> tuple[Array, Array]:
        shared = 0.3 * noise(random, studies, 1, examples)
        shift = seed_sd * (seeds > 1) * random.standard_normal((studies, seeds, 1))
        own = own_sd * noise(random, studies, 1, examples) + own_sd / 2 * noise(random, studies, seeds, examples)
        return shared + shift + own, shared[:, 0] + 0.1 * noise(random, studies, examples)

    return draw


def _answers(right: float, seed_sd: float) -> Draw:
    """Costs of answers, each right with this chance."""

    def draw(random: np.random.Generator, studies: int, seeds: int, examples: int) -> tuple[Array, Array]:
        shared = random.standard_normal((studies, 1, examples))
        shift = seed_sd * (seeds > 1) * random.standard_normal((studies, seeds, 1))
        own = random.standard_normal((studies, seeds, examples))
        table = ndtr((shared + own) / np.sqrt(2)) > right + shift
        base = ndtr((shared[:, 0] + random.standard_normal((studies, examples))) / np.sqrt(2)) > right
        return table.astype(np.float64), base.astype(np.float64)

    return draw


def _macro_f1(random: np.random.Generator, studies: int, seeds: int, examples: int) -> tuple[Array, Array]:
    """1 - the shares of macro F1 of answers that are right with a chance of 0.5, else any class."""
    truths = random.integers(0, CLASSES, (studies, 1, examples))
    right = random.random((studies, seeds + 1, examples)) < 0.5
    answers = np.where(right, truths, random.integers(0, CLASSES, right.shape))
    costs = 1 - np.array(
        [
            [macro_f1_shares(row, name[0]) for row in study]
            for study, name in zip(answers.astype(str).tolist(), truths.astype(str).tolist(), strict=True)
        ]
    )
    return costs[:, 1:], costs[:, 0]


DRAWS: Mapping[str, Draw] = {
    "normal losses": _losses(0.03, 0.1),
    "noise from seeds": _losses(0.2, 0.03),
    "noise from examples": _losses(0.002, 0.5),
    "answers, half right": _answers(0.5, 0.05),
    "answers, a fifth right": _answers(0.2, 0.03),
    "macro F1 of five classes": _macro_f1,
    "lognormal": _losses(0.03, 0.3, 0.7),
}


def shown(draw: Draw, studies: int, seeds: int, examples: int, random: np.random.Generator) -> float:
    """The share of the studies in which a gain is shown, where there is none."""
    wrong = 0
    for start in range(0, studies, CHUNK):
        table, base = draw(random, min(CHUNK, studies - start), seeds, examples)
        wrong += int((least_gains(table, base, np.ones(examples), ALPHA) > 0).sum())
    return round(wrong / studies, 4)


def gains_table(rows: Sequence[tables.Row]) -> str:
    """A line for each setting, with the rates of each number of seeds."""
    by_setting: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        by_setting.setdefault((row["world"], row["examples"]), {})[row["seeds"]] = row["shown"]
    body = [
        [world, examples, *(tables.percent(rates[seeds]) if seeds in rates else "" for seeds in SEEDS)]
        for (world, examples), rates in by_setting.items()
    ]
    return tables.table(["nothing is gained", "examples", *(f"{s} seed{'s' if s > 1 else ''}" for s in SEEDS)], body)


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_calibration.gains", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--studies", type=int, default=10_000, help="simulated studies a setting")
    parser.add_argument("--quick", action="store_true", help="500 studies a setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of gains.json")
    arguments = parser.parse_args()
    studies, started = 500 if arguments.quick else arguments.studies, time.monotonic()
    rows: list[dict[str, Any]] = []
    for world, draw in DRAWS.items():
        for examples in EXAMPLES:
            for seeds in SEEDS if draw is not _macro_f1 else (1, 3):  # drawing its answers is slow
                random = np.random.default_rng([arguments.seed, crc32(world.encode()), examples, seeds])
                rate = shown(draw, studies, seeds, examples, random)
                rows.append({"world": world, "examples": examples, "seeds": seeds, "shown": rate})
    results = {"studies": studies, "seed": arguments.seed, "alpha": ALPHA, "calibration": rows}
    results["seconds"] = round(time.monotonic() - started)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, separators=(",", ":")).replace("},{", "},\n{")
    (arguments.out / "gains.json").write_text(text + "\n")
    print(gains_table(rows))
    allowed = ALPHA + 3 * (ALPHA * (1 - ALPHA) / studies) ** 0.5
    above = [row for row in rows if row["world"] not in STRESS and row["shown"] > allowed]
    for row in above:
        print(f"above the level: {row}")
    print(f"\n{len(rows)} settings, {results['seconds']} s")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
