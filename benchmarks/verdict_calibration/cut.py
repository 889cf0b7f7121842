"""How often the verdict on a cut ladder is wrong, and how often it is right: simulated studies, judged by the shipped code.

    python -m benchmarks.verdict_calibration.cut [--studies 10000] [--quick] [--seed 1] [--out DIR]

Prints tables and writes cut.json to DIR. `--quick` takes 500 studies a setting. Ends with status 1 if a setting that is held to the
level exceeds it by more than two standard errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from rich.progress import track

from benchmarks.verdict_calibration import tables
from benchmarks.verdict_calibration.cut_worlds import MARGIN, CutWorld, cut_worlds, power_cut_worlds
from benchmarks.verdict_calibration.rates import ALPHA
from sweep.verdict.bounds import Mask
from sweep.verdict.looks import steps
from sweep.verdict.margin import Margin
from sweep.verdict.record import LadderBy, MarginOf
from sweep.verdict.spending import levels

LOOKS = ((2,), (3,), (4,), (6,), (3, 4, 6, 8), (3, 5, 8))
STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.5, 2.0, 3.0)
BATCH = 250
CLAIMS = ("false_certified", "false_inferior", "false_better")


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_calibration.cut", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--studies", type=int, default=10_000, help="simulated studies a setting")
    parser.add_argument("--quick", action="store_true", help="500 studies a setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of cut.json")
    arguments = parser.parse_args()
    studies = 500 if arguments.quick else arguments.studies
    started = time.monotonic()
    calibration = [
        row
        for world in track(list(cut_worlds()), "calibration", disable=not sys.stderr.isatty())
        for row in cut_rates(world, LOOKS, studies, _random(arguments.seed, world))
    ]
    power = [
        {"kind": kind, "difference": step, **row}
        for kind, step, world in track(list(power_cut_worlds(STEPS)), "power", disable=not sys.stderr.isatty())
        for row in cut_rates(world, LOOKS, max(studies // 5, 250), _random(arguments.seed, world))
    ]
    results = {"studies": studies, "seed": arguments.seed, "alpha": ALPHA, "looks": LOOKS}
    results |= {"calibration": calibration, "power": power, "seconds": round(time.monotonic() - started)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, separators=(",", ":")).replace("},{", "},\n{")
    (arguments.out / "cut.json").write_text(text + "\n")
    return _report(results)


def cut_rates(
    world: CutWorld, plans: Sequence[tuple[int, ...]], studies: int, random: np.random.Generator
) -> list[dict[str, Any]]:
    """One row for each plan of looks: shares of the studies in which something was wrong, or right.

    false_certified: a rank that misses the margin is certified. false_inferior: a rank that keeps it is called inferior.
    false_better: a cut that is no better than the uncut adapter is called better. certified, inferior: what becomes of the
    smallest rank. closed: nothing is left to decide.
    """
    truth = np.array(world.truth)
    counts = np.zeros((len(plans), 6), int)
    for start in range(0, studies, BATCH):
        losses, base = world.draw(min(BATCH, studies - start), max(max(plan) for plan in plans), random)
        for place, plan in enumerate(plans):
            certified, inferior, better = _judged(losses, base, plan)
            first = np.argmax(~inferior, axis=1)
            counts[place] += [
                (certified & (truth >= 1)).any(axis=1).sum(),
                (inferior & (truth < 1)).any(axis=1).sum(),
                (better & (truth >= 0)).any(axis=1).sum(),
                certified[:, 0].sum(),
                inferior[:, 0].sum(),
                np.take_along_axis(certified, first[:, None], axis=1).sum(),
            ]
    names = (*CLAIMS, "certified", "inferior", "closed")
    about = {"world": world.name, "group": world.group, "stress": world.stress}
    return [
        {**about, "seeds": ", ".join(map(str, plan)), "studies": studies}
        | {name: round(int(value) / studies, 4) for name, value in zip(names, row, strict=True)}
        for plan, row in zip(plans, counts, strict=True)
    ]


def _judged(losses: np.ndarray, base: np.ndarray, plan: tuple[int, ...]) -> tuple[Mask, Mask, Mask]:
    """(studies, ranks) each: certified, inferior and better after the last look of the plan."""
    allowed = (ALPHA,) if len(plan) == 1 else levels(ALPHA, plan)
    weights = np.ones(losses.shape[3])
    taken = list(steps(losses, base, weights, Margin(MARGIN, MarginOf.GAIN), plan, allowed, ladder_by=LadderBy.CUT))
    better = np.any([step.look.better for step in taken], axis=0)
    return taken[-1].look.certified, taken[-1].look.inferior, better


def _random(seed: int, world: CutWorld) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(world.name.encode())])


def above_level(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that are held to the level and exceed it by more than two standard errors of the simulation."""
    error = 2 * (ALPHA * (1 - ALPHA) / results["studies"]) ** 0.5
    rows = [row for row in results["calibration"] if not row["stress"]]
    return [row for row in rows if any(row[claim] > ALPHA + error for claim in CLAIMS)]


def _report(results: dict[str, Any]) -> int:
    for claim in CLAIMS:
        print(f"\n{claim}; worst setting of each group\n\n{tables.worst_by_group(results['calibration'], claim)}")
    print(f"\nsmallest rank certified / shown inferior, by what it loses in margins\n\n{power_table(results['power'])}")
    above = above_level(results)
    for row in above:
        print(f"above the level: {row}")
    print(f"\n{len({row['world'] for row in results['calibration']})} settings; {results['seconds']} s")
    return 1 if above else 0


def power_table(rows: Sequence[tables.Row]) -> str:
    """A line for each kind of noise and difference: certified / shown inferior."""
    kinds = list(dict.fromkeys(row["seeds"] for row in rows))
    body = []
    for kind, difference in dict.fromkeys((row["kind"], row["difference"]) for row in rows):
        mine = {row["seeds"]: row for row in rows if (row["kind"], row["difference"]) == (kind, difference)}
        body.append([kind, difference, *(f"{mine[s]['certified']:.2f} / {mine[s]['inferior']:.2f}" for s in kinds)])
    return tables.table(["noise", "loses, in margins", *(f"{kind} seeds" for kind in kinds)], body)


if __name__ == "__main__":
    sys.exit(main())
