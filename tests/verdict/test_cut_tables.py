"""Cut ladders as they were measured on four data sets, and those of two, example by example.

Of the four, means and standard deviations over seeds of the difference to the uncut adapter are known; losses are drawn so that
they have exactly these. Base losses and deviations that were not recorded are set to typical values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sweep.verdict import Verdict, judge, judge_looks

RANKS = (1, 2, 4, 8, 16, 32)
FIRST_LOOK = 0.025
DRAWS = 12


@dataclass(frozen=True)
class Measured:
    """A cut ladder; cuts in the order of `RANKS`, nats.

    Attributes:
        lost: mean difference to the uncut adapter.
        sd: of that difference over seeds.
        top_sd: of the uncut adapter's loss over seeds.
    """

    base: float
    uncut: float
    lost: tuple[float, ...]
    sd: tuple[float, ...]
    top_sd: float
    examples: int = 44

    def losses(self, seeds: int, draw: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(ranks, seeds, examples) and the base's (examples,). Seeds move the cuts of an adapter alike to some degree."""
        random = np.random.default_rng(draw)
        shared, cuts = random.standard_normal(seeds), len(self.lost)
        z = 0.8 * shared + 0.6 * random.standard_normal((cuts, seeds))
        z -= z.mean(axis=1, keepdims=True)
        z /= z.std(axis=1, ddof=1, keepdims=True)
        differences = np.array(self.lost)[:, None] + np.array(self.sd)[:, None] * z
        hard = np.exp(0.5 * random.standard_normal(self.examples))
        hard /= hard.mean()
        example = 0.3 * random.standard_normal(self.examples)
        example -= example.mean()
        top = self.uncut + self.top_sd * random.standard_normal((seeds, 1)) + example
        losses = np.concatenate([top + differences[..., None] * hard, top[None]])
        return losses, self.base + example + 0.3 * random.standard_normal(self.examples)

    def judged(self, seeds: int, draw: int, alpha: float = 0.05) -> Verdict:
        losses, base = self.losses(seeds, draw)
        return judge(losses, RANKS[-len(losses) :], margin=0.02, base=base, ladder_by="cut", alpha=alpha)


PHARMA = Measured(
    2.956, 0.555, (0.1252, 0.0444, 0.0170, 0.0074, 0.0022), (0.0154, 0.0079, 0.0062, 0.0029, 0.0005), top_sd=0.05
)
INTENTS = Measured(
    5.5,
    0.7151,
    (0.2137, 0.0240, 0.0167, 0.0116, 0.0027),
    (0.104, 0.035, 0.015, 0.007, 0.001),
    top_sd=0.15,
    examples=120,
)
EXTRACTION = Measured(
    3.2, 0.3577, (0.0363, 0.0003, 0.0029, 0.0004, 0.0001), (0.02, 0.006, 0.004, 0.002, 0.001), top_sd=0.1
)
YES_OR_NO = Measured(
    4.5, 0.3693, (-0.0232, -0.0126, -0.0073, -0.0032, -0.001), (0.038, 0.02, 0.01, 0.004, 0.002), top_sd=0.1
)


def test_pharma() -> None:
    for draw in range(DRAWS):
        verdict = PHARMA.judged(3, draw)
        assert (verdict.rank, verdict.bracket) == (4, (2, 4))
    first = [PHARMA.judged(3, draw, FIRST_LOOK) for draw in range(DRAWS)]
    assert {verdict.state[0] for verdict in first} == {"inferior"}
    assert {verdict.rank for verdict in first} <= {4, 8}
    assert sum(verdict.rank == 4 for verdict in first) > DRAWS / 2


def test_intents() -> None:
    for draw in range(DRAWS):
        verdict = INTENTS.judged(3, draw)
        assert (verdict.rank, verdict.bracket) == (2, (1, 2))
    assert {INTENTS.judged(3, draw, FIRST_LOOK).rank for draw in range(DRAWS)} <= {2, 4}


def test_extraction() -> None:
    for draw in range(DRAWS):
        verdict = EXTRACTION.judged(3, draw)
        assert (verdict.rank, verdict.bracket) == (2, (1, 2))


def test_yes_or_no_where_cutting_helps() -> None:
    for draw in range(DRAWS):
        verdict = YES_OR_NO.judged(3, draw, FIRST_LOOK)
        assert (verdict.rank, verdict.bracket, verdict.hands_out) == (1, (1, 1), 1)


def test_three_seeds_decide_a_ladder_whose_seeds_differ_by_half_the_mean() -> None:
    stored = json.loads((Path(__file__).parent / "cut_ladders" / "fda_adr.json").read_text())
    given = {"margin": 0.02, "base": stored["base"], "weights": stored["tokens"], "ladder_by": "cut"}
    losses = np.array(stored["losses"])
    for three in combinations(range(losses.shape[1]), 3):
        verdict = judge_looks(list(losses[:, list(three)]), stored["ranks"], (3,), **given)
        assert (verdict.rank, verdict.bracket) in ((4, (1, 4)), (4, (2, 4)))


@pytest.mark.parametrize(("name", "rank", "bracket"), [("pharma", 4, (2, 4)), ("clinc_kitchen", 2, (1, 2))])
def test_measured_ladders_are_decided_with_three_seeds(name: str, rank: int, bracket: tuple[int, int]) -> None:
    stored = json.loads((Path(__file__).parent / "cut_ladders" / f"{name}.json").read_text())
    losses, ranks = np.array(stored["losses"]), stored["ranks"]
    given = {"margin": 0.02, "base": stored["base"], "weights": stored["tokens"], "ladder_by": "cut"}
    threes = [losses[:, list(three)] for three in combinations(range(losses.shape[1]), 3)]
    assert {judge(three, ranks, **given).bracket for three in threes} == {bracket}
    first = [judge_looks(list(three), ranks, (3,), **given).rank for three in threes]
    assert sum(one == rank for one in first) >= 0.9 * len(threes)
    verdict = judge_looks(list(losses[:, :4]), ranks, (3, 4), most_seeds=6, **given)
    assert (verdict.rank, verdict.bracket) == (rank, bracket)
    assert verdict.futile is not None  # the next smaller rank lies at the margin
