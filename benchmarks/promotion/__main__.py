"""How often a champion is wrongly replaced, and how often a better challenger is promoted: simulated nights, judged by the shipped code.

    python -m benchmarks.promotion [--years 10000] [--quick] [--only PART] [--seed 1] [--out FILE] [--page FILE]

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

from benchmarks.promotion.nights import ALPHA, FEW_UNITS, MANY_UNITS, NIGHTS, conditions, power, rates_of_bounds, yearly
from benchmarks.promotion.noises import NOISES
from benchmarks.verdict_calibration.document import written
from benchmarks.verdict_calibration.tables import percent, table
from sweep.verdict.promotion import Condition

HERE = Path(__file__).parents[1]
RESULTS = HERE / "results" / "promotion.json"
PAGE = HERE.parent / "docs" / "champion.md"


def blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """The tables of docs/champion.md by name."""
    names = list(NOISES)
    bounds = {(row["units"], row["noise"], row["level"]): row for row in results["bounds"]}
    sizes = (20, 40, 100, 400)
    kinds = {"student": "Student", "corrected": "Student, corrected for skewness", "likelihood": "likelihood"}
    worst = [
        [f"{level:g}", words, *(_worst(bounds, [(size, name, level) for name in names], key) for size in sizes)]
        for level in (1e-2, 1e-3, 1e-4)
        for key, words in kinds.items()
    ]
    rows = _years(results)
    by_setting = [
        [row["noise"], row["units"], f"{row['shared']:g}", _better(row), percent(row["wrong"])] for row in rows
    ]
    chances = list(results["power"][0]["chances"])
    return {
        "promotion_run": (
            f"{results['number']:,} simulated years of {NIGHTS} nights in each of {len(rows)} settings "
            f"({sum(results['seconds'].values())} s on one core). The largest share of years with a wrong promotion is "
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


def _years(results: Mapping[str, Any]) -> list[Any]:
    return [*results["years_many"], *results["years_few"]]


def _worst(bounds: Mapping[Any, Mapping[str, Any]], which: list[Any], key: str) -> str:
    """The largest rate; a dash where too few were drawn to say."""
    return f"{max(bounds[each][key] for each in which):.1f}" if all(each in bounds for each in which) else "-"


def _better(row: Mapping[str, Any]) -> str:
    return "none" if row["better_every"] is None else f"every {row['better_every']} nights, {row['right']:g} promoted"


PARTS: Mapping[str, Callable[[int, np.random.Generator], list[dict[str, Any]]]] = {
    "bounds": lambda number, random: rates_of_bounds(20 * number, random),
    "years_many": lambda number, random: yearly(number, random, MANY_UNITS),
    "years_few": lambda number, random: yearly(number, random, FEW_UNITS),
    "power": lambda number, random: power(max(number // 10, 100), random),
    "conditions": lambda number, random: conditions(max(number // 20, 50), random),
}


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--years", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything; writes nothing")
    parser.add_argument("--only", choices=tuple(PARTS), help="one part; the others stay as they are in FILE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    number = arguments.years // 20 if arguments.quick else arguments.years
    known = json.loads(arguments.out.read_text()) if arguments.only and arguments.out.exists() else {}
    if known and (known["number"], known["seed"]) != (number, arguments.seed):
        raise SystemExit(f"{arguments.out} has {known['number']} years of seed {known['seed']}; ask for the same ones")
    results: dict[str, Any] = {
        "kind": "promotion",
        "seconds": {},
        **known,
        "number": number,
        "seed": arguments.seed,
        "alpha": ALPHA,
    }
    for place, (name, part) in enumerate(PARTS.items()):
        if arguments.only in (None, name):
            started = time.process_time()
            results[name] = part(number, np.random.default_rng([arguments.seed, place]))
            results["seconds"][name] = round(time.process_time() - started)
            if not arguments.quick:
                arguments.out.write_text(json.dumps(results, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    if not results.keys() >= PARTS.keys():
        return 0
    texts = blocks(results)
    print("\n\n".join(texts.values()))
    if not arguments.quick:
        arguments.page.write_text(written(arguments.page.read_text(), texts))
    allowed = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / number)
    return int(any(row["wrong"] > allowed for row in _years(results)))


if __name__ == "__main__":
    sys.exit(main())
