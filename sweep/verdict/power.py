"""How often a study decides: chances from simulated studies, as `python -m benchmarks.verdict_calibration.power` wrote them to power.json.

They are those of docs/calibration.md with more numbers of seeds. A study whose looks were not simulated has at least the chances of one
with fewer seeds that was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("power.json")


@dataclass(frozen=True, slots=True)
class Chances:
    """Shares of studies in which a rank is certified, and shown inferior.

    Attributes:
        at: of a trained ladder the margin in standard deviations between seeds, where the rank is as good as all others; of a cut
            ladder what the rank loses, in margins.
    """

    at: float
    certified: float
    inferior: float


def chances(looks: Sequence[int], *, cut: bool) -> tuple[tuple[int, ...], list[Chances]]:
    """The simulated looks that stand for these, and the chances with them, ascending.

    Args:
        looks: numbers of seeds at which the verdict is computed.
        cut: of a ladder that is cut, else of one whose ranks are trained.
    """
    rows = _table()["cut" if cut else "trained"]
    known = nearest({tuple(row["looks"]) for row in rows}, looks)
    return known, [
        Chances(row["at"], row["certified"], row["inferior"]) for row in rows if tuple(row["looks"]) == known
    ]


def nearest(known: set[tuple[int, ...]], looks: Sequence[int]) -> tuple[int, ...]:
    """The looks that are known and most like these: with no more seeds, as many as possible, and as like in their first one."""
    last = max(looks)
    fitting = [each for each in known if max(each) <= last] or [min(known)]
    return max(fitting, key=lambda each: (each == tuple(looks), max(each), -abs(min(each) - min(looks)), len(each)))


def between(rows: Sequence[Chances], at: float) -> float:
    """The chance of being certified there, linearly between the simulated points; beyond them as at the last one."""
    if at <= rows[0].at:
        return rows[0].certified * max(0.0, at) / rows[0].at if rows[0].at else rows[0].certified
    for lower, upper in pairwise(rows):
        if at <= upper.at:
            share = (at - lower.at) / (upper.at - lower.at)
            return lower.certified + share * (upper.certified - lower.certified)
    return rows[-1].certified


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return table
