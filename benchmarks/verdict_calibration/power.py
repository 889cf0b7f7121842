"""The chances that a plan shows before anything is trained, by simulation with the shipped statistics.

    python -m benchmarks.verdict_calibration.power [--studies 2000] [--out FILE]

Writes sweep/verdict/power.json, which is part of the package. Of a trained ladder: how often the smallest of four equal ranks is
certified, by the margin in standard deviations between seeds. Of a cut ladder: what becomes of the smallest of five cuts, by what it
loses, with seeds as alike as on pharma (factors between seeds are lognormal with a coefficient of variation of 0.25).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from rich.progress import track

from benchmarks.verdict_calibration.cut import cut_rates
from benchmarks.verdict_calibration.cut_worlds import power_cut_worlds
from benchmarks.verdict_calibration.rates import ALPHA, rates
from benchmarks.verdict_calibration.settings import power_worlds
from sweep.verdict.power import FILE

LOOKS = ((2,), (3,), (4,), (5,), (8,), (3, 5), (3, 5, 8), (5, 8), (3, 5, 8, 12))
MARGINS_IN_SD = (1.0, 1.5, 2.0, 2.8, 3.4, 4.0, 5.0, 6.0, 8.0, 12.0)
LOSSES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)
NOISE = "lognormal 0.25"
SEED = 1


def trained_rows(studies: int) -> list[dict[str, Any]]:
    """Of trained ladders, by the margin in standard deviations between seeds."""
    rows = []
    for ratio in track(MARGINS_IN_SD, "trained ladders", disable=not sys.stderr.isatty()):
        ((_, world),) = power_worlds((0.0,), ratio)
        for looks, counts in zip(LOOKS, rates(world, LOOKS, studies, _random(f"trained {ratio}")), strict=True):
            rows.append(_row(ratio, looks, counts.smallest_certified / studies, counts.smallest_inferior / studies))
    return rows


def cut_rows(studies: int) -> list[dict[str, Any]]:
    """Of cut ladders, by what the smallest rank loses in margins."""
    worlds = [(loses, world) for kind, loses, world in power_cut_worlds(LOSSES) if kind == NOISE]
    return [
        _row(loses, looks, row["certified"], row["inferior"])
        for loses, world in track(worlds, "cut ladders", disable=not sys.stderr.isatty())
        for looks, row in zip(LOOKS, cut_rates(world, LOOKS, studies, _random(f"cut {loses}")), strict=True)
    ]


def written(studies: int, seconds: float, trained: list[dict[str, Any]], cut: list[dict[str, Any]]) -> str:
    """The file's text, a row a line."""
    about = {"command": "python -m benchmarks.verdict_calibration.power", "studies": studies, "seed": SEED}
    table = {**about, "alpha": ALPHA, "seconds": round(seconds), "noise": NOISE, "trained": trained, "cut": cut}
    return json.dumps(table, separators=(",", ":")).replace("},{", "},\n{").replace("[{", "[\n{") + "\n"


def _row(at: float, looks: tuple[int, ...], certified: float, inferior: float) -> dict[str, Any]:
    return {"at": at, "looks": looks, "certified": round(certified, 3), "inferior": round(inferior, 3)}


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, crc32(name.encode())])


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_calibration.power", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a setting")
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write")
    arguments = parser.parse_args()
    started = time.monotonic()
    trained, cut = trained_rows(arguments.studies), cut_rows(arguments.studies)
    arguments.out.write_text(written(arguments.studies, time.monotonic() - started, trained, cut))
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
