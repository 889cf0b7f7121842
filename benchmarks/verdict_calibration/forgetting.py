"""How often a limit of forgetting is wrongly shown to be kept: simulated studies, judged by the shipped code.

    python -m benchmarks.verdict_calibration.forgetting [--studies 10000] [--quick] [--seed 1] [--out DIR]

Every rank forgets exactly the limit. Prints a table and writes forgetting.json to DIR. `--quick` takes 500 studies a setting. Ends with
status 1 if a setting exceeds the level by more than three standard errors: with 252 rates, some are beyond two by chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.verdict_calibration import tables
from benchmarks.verdict_calibration.rates import ALPHA
from sweep.verdict.bounds import Array, Mask, Side
from sweep.verdict.forgetting import rises_of
from sweep.verdict.spending import levels

LOOKS = ((2,), (3,), (5,), (3, 5, 8))
LIMIT = 0.2
RATES = ("below", "above", "ladder")


@dataclass(frozen=True, slots=True)
class ProseWorld:
    """How the rise of the loss on prose varies, in nats per token.

    Attributes:
        seeds, own, both: sd between seeds, between paragraphs, and of their interaction.
        skewed: scale of lognormal noise of paragraphs and seeds, some of which rise much more than others; 0 for normal noise.
        unequal: whether paragraphs have 60 to 180 tokens instead of equally many.
        stress: whether more is asked than is promised.
    """

    name: str
    paragraphs: int
    seeds: float = 0.02
    own: float = 0.05
    both: float = 0.01
    skewed: float = 0.0
    unequal: bool = False
    stress: bool = False

    def draw(self, studies: int, seeds: int, random: np.random.Generator) -> tuple[Array, Array]:
        """(studies, seeds, paragraphs) rises with a mean of `LIMIT`, and the tokens of each paragraph."""
        own = _noise(random, self.own, self.skewed, (studies, 1, self.paragraphs))
        of_seeds = _noise(random, self.seeds, self.skewed, (studies, seeds, 1))
        both = self.both * random.standard_normal((studies, seeds, self.paragraphs))
        tokens = random.integers(60, 180, self.paragraphs) if self.unequal else np.full(self.paragraphs, 100)
        return LIMIT + own + of_seeds + both, tokens.astype(float)


def _noise(random: np.random.Generator, sd: float, skewed: float, shape: tuple[int, ...]) -> Array:
    """Noise of mean zero; if skewed, long to the right."""
    normal = random.standard_normal(shape)
    if skewed == 0:
        return sd * normal
    noise: Array = sd / np.sqrt(np.expm1(skewed**2)) * (np.exp(skewed * normal - skewed**2 / 2) - 1)
    return noise


def prose_worlds() -> Iterator[ProseWorld]:
    """Every setting."""
    for count in (8, 16, 32):
        yield ProseWorld(f"{count} paragraphs", count)
        yield ProseWorld(f"{count} paragraphs, noise from seeds", count, seeds=0.08, own=0.01)
        yield ProseWorld(f"{count} paragraphs, noise from paragraphs", count, seeds=0.002, own=0.1)
        yield ProseWorld(f"{count} paragraphs, all noise of its own", count, seeds=0.0, own=0.0, both=0.05)
        yield ProseWorld(f"{count} paragraphs of 60 to 180 tokens", count, unequal=True)
        yield ProseWorld(f"{count} paragraphs, lognormal 0.3", count, own=0.06, skewed=0.3)
        yield ProseWorld(f"{count} paragraphs, lognormal 0.7", count, own=0.06, skewed=0.7, stress=True)


def prose_rates(
    world: ProseWorld, plans: Sequence[tuple[int, ...]], studies: int, random: np.random.Generator
) -> list[dict[str, Any]]:
    """One row for each plan of looks: shares of the studies in which a rank at the limit is shown to be below it, or above it.

    ladder: in a ladder of three such ranks, whose rises differ by a little noise of their own and the first two of which are each shown
    inferior in half of the studies, any that is not is certified.
    """
    most = max(max(plan) for plan in plans)
    shared, tokens = world.draw(studies, most, random)
    ranks = [LIMIT + share * (shared - LIMIT) for share in (0.6, 0.8, 1.0)]
    ranks = [rank + 0.2 * world.seeds * random.standard_normal((studies, most, 1)) for rank in ranks]
    passed_over = random.random((3, studies)) < np.array([[0.5], [0.5], [0.0]])
    rows = []
    for plan in plans:
        shown = [_shown(rank, tokens, plan) for rank in ranks]
        counts = (shown[2][0].sum(), shown[2][1].sum(), _wrong(shown, passed_over).sum())
        about = {"world": world.name, "stress": world.stress, "seeds": ", ".join(map(str, plan)), "studies": studies}
        rows.append(about | {name: round(int(count) / studies, 4) for name, count in zip(RATES, counts, strict=True)})
    return rows


def _shown(rises: Array, tokens: Array, plan: tuple[int, ...]) -> tuple[Mask, Mask]:
    """(studies,) each: shown to be below the limit, and above it, at any look."""
    below = above = np.zeros(len(rises), bool)
    for look, level in zip(plan, (ALPHA,) if len(plan) == 1 else levels(ALPHA, plan), strict=True):
        estimate = rises_of(rises[:, :look], tokens)
        is_open = ~(below | above)
        below = below | is_open & (estimate.bound(Side.UPPER, level) < LIMIT)
        above = above | is_open & (estimate.bound(Side.LOWER, level) > LIMIT)
    return below, above


def _wrong(shown: Sequence[tuple[Mask, Mask]], passed_over: Mask) -> Mask:
    """(studies,): whether the sequence upward certifies any rank; see `ForgettingTest.passes`."""
    going, wrong = np.ones(len(passed_over[0]), bool), np.zeros(len(passed_over[0]), bool)
    for (below, above), inferior in zip(shown, passed_over, strict=True):
        going = going & (below | above | inferior)
        wrong = wrong | going & below & ~inferior
    return wrong


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_calibration.forgetting", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--studies", type=int, default=10_000, help="simulated studies a setting")
    parser.add_argument("--quick", action="store_true", help="500 studies a setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of forgetting.json")
    arguments = parser.parse_args()
    studies, started = 500 if arguments.quick else arguments.studies, time.monotonic()
    rows = [
        row
        for world in prose_worlds()
        for row in prose_rates(
            world, LOOKS, studies, np.random.default_rng([arguments.seed, crc32(world.name.encode())])
        )
    ]
    results = {"studies": studies, "seed": arguments.seed, "alpha": ALPHA, "calibration": rows}
    results["seconds"] = round(time.monotonic() - started)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, separators=(",", ":")).replace("},{", "},\n{")
    (arguments.out / "forgetting.json").write_text(text + "\n")
    print(prose_table(rows))
    allowed = ALPHA + 3 * (ALPHA * (1 - ALPHA) / studies) ** 0.5
    above = [row for row in rows if not row["stress"] and any(row[rate] > allowed for rate in RATES)]
    for row in above:
        print(f"above the level: {row}")
    print(f"\n{len(rows)} settings and plans of looks, {results['seconds']} s")
    return 1 if above else 0


def prose_table(rows: Sequence[tables.Row]) -> str:
    """A line for each setting: wrongly below / any rank of the ladder."""
    kinds = list(dict.fromkeys(row["seeds"] for row in rows))
    body = []
    for world in dict.fromkeys(row["world"] for row in rows):
        mine = {row["seeds"]: row for row in rows if row["world"] == world}
        body.append(
            [world, *(f"{tables.percent(mine[s]['below'])} / {tables.percent(mine[s]['ladder'])}" for s in kinds)]
        )
    return tables.table(["every rank at the limit", *(f"{kind} seeds" for kind in kinds)], body)


if __name__ == "__main__":
    sys.exit(main())
