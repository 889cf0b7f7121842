"""How often the verdict is wrong, and how often it is right: simulated studies, judged by the shipped code.

    python -m benchmarks.verdict_calibration [--studies 10000] [--quick] [--seed 1] [--group NAME] [--out DIR] [--pictures DIR]

Prints tables, writes results.json to DIR and the pictures of docs/calibration.md. `--quick` takes 500 studies a setting. `--group
methods` runs only the settings of groups whose names begin so, and puts them into the results.json that is there. Ends with status 1 if
a setting that is held to the level exceeds it by more than two standard errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.verdict_calibration import alternatives, document, plots, tables
from benchmarks.verdict_calibration.rates import ALPHA, LOOKS, Rates, rates
from benchmarks.verdict_calibration.settings import power_worlds, worlds

HERE = Path(__file__).parent
STEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0)
MARGINS_IN_SD = (2.0, 2.8, 3.4, 4.0, 6.0)
REACHES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.2, 1.5, 1.8, 2.1, 2.5, 3.0, 3.5)
SURE = 0.8
RATES = {field.name for field in fields(Rates)} - {"studies"}


def main() -> int:
    """Runs everything; returns the exit status."""
    arguments = _arguments()
    studies = 500 if arguments.quick else arguments.studies
    started = time.monotonic()
    columns = (
        TextColumn("{task.description:32.32}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TimeRemainingColumn(), disable=not sys.stderr.isatty()) as progress:
        ran = _calibration(studies, arguments.seed, arguments.group, progress)
        if arguments.group:
            results = _joined(arguments.out / "results.json", ran, studies, arguments.seed)
        else:
            results = {
                "studies": studies,
                "seed": arguments.seed,
                "alpha": ALPHA,
                "calibration": ran,
                "power": _power(studies, arguments.seed, progress),
                "reach": _reach(max(studies // 4, 250), arguments.seed, progress),
                "alternatives": _alternatives(studies, arguments.seed, progress),
            }
    results["seconds"] = results.get("seconds", 0) + round(time.monotonic() - started)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(_compact(results))
    plots.calibration(results["calibration"], ALPHA, arguments.pictures / "verdict-calibration.svg")
    if not arguments.group:
        plots.power(results["power"], arguments.pictures / "verdict-power.svg")
    return _report(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_calibration", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--studies", type=int, default=10_000, help="simulated studies a setting")
    parser.add_argument("--quick", action="store_true", help="500 studies a setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", default="", help="run only settings of groups whose names begin so")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results.json")
    parser.add_argument(
        "--pictures", type=Path, default=HERE.parents[1] / "docs" / "pictures", help="folder of the SVGs"
    )
    return parser.parse_args()


def _joined(file: Path, ran: list[dict[str, Any]], studies: int, seed: int) -> dict[str, Any]:
    """The earlier results, if there are any, with the rows of the settings that ran.

    Raises:
        SystemExit: the earlier results are of another number of studies, or another seed.
    """
    if not file.is_file():
        nothing: dict[str, Any] = {"power": [], "reach": [], "alternatives": {}}
        return {"studies": studies, "seed": seed, "alpha": ALPHA, "calibration": ran, **nothing}
    known = json.loads(file.read_text())
    if (known["studies"], known["seed"]) != (studies, seed):
        raise SystemExit(
            f"{file} has {known['studies']} studies of seed {known['seed']}, not {studies} of {seed}; give another --out"
        )
    names = {row["world"] for row in ran}
    return {**known, "calibration": [*(row for row in document.rows_of(known) if row["world"] not in names), *ran]}


def _calibration(studies: int, seed: int, group: str, progress: Progress) -> list[dict[str, Any]]:
    """One row a world and plan of looks, rates rounded to four digits."""
    rows = []
    everything = [world for world in worlds() if world.group.startswith(group)]
    task = progress.add_task("calibration", total=len(everything))
    for world in everything:
        progress.update(task, description=world.name)
        counted = rates(world, LOOKS, studies, np.random.default_rng([seed, crc32(world.name.encode())]))
        for plan, counts in zip(LOOKS, counted, strict=True):
            row = {"world": world.name, "group": world.group, "stress": world.stress, "seeds": _named(plan)}
            rows.append({**row, **_shares(counts)})
        progress.advance(task)
    return rows


def _power(studies: int, seed: int, progress: Progress) -> list[dict[str, Any]]:
    rows = []
    task = progress.add_task("power", total=len(STEPS))
    for number, (step, world) in enumerate(power_worlds(STEPS)):
        counted = rates(world, LOOKS, studies, np.random.default_rng([seed, 1000 + number]))
        rows += [
            {
                "difference": step,
                "seeds": _named(plan),
                "certified": round(counts.smallest_certified / counts.studies, 4),
                "inferior": round(counts.smallest_inferior / counts.studies, 4),
            }
            for plan, counts in zip(LOOKS, counted, strict=True)
        ]
        progress.advance(task)
    return rows


def _reach(studies: int, seed: int, progress: Progress) -> list[dict[str, Any]]:
    """Differences, in margins, at which the smallest rank is certified or excluded in `SURE` of the studies."""
    rows = []
    task = progress.add_task("detectable difference", total=len(MARGINS_IN_SD) * len(REACHES))
    for ratio in MARGINS_IN_SD:
        certified: dict[str, list[float]] = {}
        inferior: dict[str, list[float]] = {}
        for number, (_, world) in enumerate(power_worlds(REACHES, ratio)):
            counted = rates(world, LOOKS, studies, np.random.default_rng([seed, 2000 + number]))
            for plan, counts in zip(LOOKS, counted, strict=True):
                certified.setdefault(_named(plan), []).append(counts.smallest_certified / counts.studies)
                inferior.setdefault(_named(plan), []).append(counts.smallest_inferior / counts.studies)
            progress.advance(task)
        rows += [
            {"margin_in_sd": ratio, "seeds": kind, "certifies": _crossing(certified[kind], falling=True),
             "excludes": _crossing(inferior[kind], falling=False)}
            for kind in certified
        ]  # fmt: skip
    return rows


def _alternatives(studies: int, seed: int, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    random = np.random.default_rng([seed, 3000])
    parts = {
        "variances": alternatives.variances,
        "joinings": alternatives.joinings,
        "spendings": alternatives.spendings,
        "sequences": alternatives.sequences,
    }
    task = progress.add_task("alternatives", total=len(parts))
    results = {}
    for name, part in parts.items():
        results[name] = part(4 * studies if name != "sequences" else studies, random)
        progress.advance(task)
    return results


def _crossing(shares: list[float], *, falling: bool) -> float | None:
    """Where the curve crosses `SURE`, linearly between the grid's differences; None if it does not."""
    rising = [-share for share in shares] if falling else shares
    sure = -SURE if falling else SURE
    if (falling and shares[0] < SURE) or (not falling and shares[-1] < SURE):
        return None
    place = next(
        place for place, share in enumerate(rising) if share >= sure and (not falling or -share < SURE or place)
    )
    before, after = rising[place - 1], rising[place]
    fraction = (sure - before) / (after - before)
    return round(REACHES[place - 1] + fraction * (REACHES[place] - REACHES[place - 1]), 2)


def _shares(counts: Rates) -> dict[str, float]:
    studies = counts.studies
    shares = {name: round(value / studies, 4) for name, value in asdict(counts).items() if name != "studies"}
    return {"studies": studies, **shares}


def _named(plan: tuple[int, ...]) -> str:
    return ", ".join(map(str, plan))


def _compact(results: dict[str, Any]) -> str:
    """JSON with one row a line; the plans of a world share a line, their rates are lists in the order of `looks`."""
    packed: dict[str, dict[str, Any]] = {}
    for row in results["calibration"]:
        line = packed.setdefault(row["world"], {key: row[key] for key in ("world", "group", "stress")})
        for rate in sorted(RATES):
            line.setdefault(rate, []).append(row[rate])
    text = json.dumps({**results, "looks": LOOKS, "calibration": list(packed.values())}, separators=(",", ":"))
    return text.replace("},{", "},\n{").replace("[{", "[\n{") + "\n"


def _report(results: dict[str, Any]) -> int:
    rows = results["calibration"]
    for title, rate in (
        ("Wrongly certified: a rank that misses the margin", "false_certified"),
        ("Wrongly inferior, going up from the smallest rank", "false_inferior_up"),
        ("Wrongly inferior, going down from the largest", "false_inferior_down"),
    ):
        print(f"\n{title}; worst setting of each group\n\n{tables.worst_by_group(rows, rate)}")
    promised = [row for row in rows if not row["stress"]]
    least = min(promised, key=lambda row: row["covered"])
    print(f"\nBracket holds the smallest good rank, least often: {tables.percent(least['covered'])} ({least['world']})")
    if results["reach"]:
        print(f"\nDifferences certified / excluded in 80 % of studies, in margins\n\n{tables.reach(results['reach'])}")
    for name, part in results["alternatives"].items():
        print(f"\n{name}\n\n{tables.plain(part)}")
    above = tables.summary(rows, results["alpha"])
    for row in above:
        print(f"above the level: {row['world']}, {row['seeds']} seeds: {row}")
    print(f"\n{len(promised)} promised settings, {len(above)} above the level; {results['seconds']} s")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
