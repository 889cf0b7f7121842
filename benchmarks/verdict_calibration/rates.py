"""How often the shipped statistics are right and wrong in a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.verdict_calibration.draw import Array, draw
from benchmarks.verdict_calibration.settings import World
from sweep.verdict.bounds import Mask
from sweep.verdict.looks import steps
from sweep.verdict.margin import Margin
from sweep.verdict.record import MarginOf
from sweep.verdict.spending import levels

ALPHA = 0.05
SINGLE = ((2,), (3,), (5,), (8,))
LOOKS = (*SINGLE, (3, 5, 8), (5, 8))
BATCH = 250


@dataclass(slots=True)
class Rates:
    """Counts over studies of one world and one plan of looks.

    Attributes:
        false_certified: a rank that misses the margin is certified.
        false_inferior_up, false_inferior_down: a rank that keeps the margin is called inferior, below the best rank or
            above it.
        covered: the smallest good rank is in the bracket.
        certified: the smallest good rank, or a smaller one, is certified.
        smallest_certified, smallest_inferior: what becomes of the smallest rank.
        closed: the bracket is one rank, and that is the smallest good one.
    """

    studies: int = 0
    false_certified: int = 0
    false_inferior_up: int = 0
    false_inferior_down: int = 0
    covered: int = 0
    certified: int = 0
    smallest_certified: int = 0
    smallest_inferior: int = 0
    closed: int = 0

    def add(self, world: World, certified: Mask, inferior: Mask) -> None:
        good = np.array(world.truth) < 1
        best, target = world.truth.index(0.0), world.smallest_good
        low = np.argmax(~inferior, axis=1)
        high = np.where(certified.any(axis=1), np.argmax(certified, axis=1), len(world.truth) - 1)
        wrong = inferior & good
        self.studies += len(certified)
        self.false_certified += int((certified & ~good).any(axis=1).sum())
        self.false_inferior_up += int(wrong[:, : best + 1].any(axis=1).sum())
        self.false_inferior_down += int(wrong[:, best:].any(axis=1).sum())
        self.covered += int(((low <= target) & (target <= high)).sum())
        self.certified += int(certified[:, : target + 1].any(axis=1).sum())
        self.smallest_certified += int(certified[:, 0].sum())
        self.smallest_inferior += int(inferior[:, 0].sum())
        self.closed += int(((low == target) & (high == target) & certified.any(axis=1)).sum())


def rates(world: World, plans: Sequence[tuple[int, ...]], studies: int, random: np.random.Generator) -> list[Rates]:
    """Draws studies once and judges them by each plan of looks; a single look is judged at the full level."""
    totals = [Rates() for _ in plans]
    margin = Margin(world.share, MarginOf(world.margin_of))
    weights = np.ones(world.count)
    for start in range(0, studies, BATCH):
        losses, base = draw(world, min(BATCH, studies - start), max(max(plan) for plan in plans), random)
        placebo = base if world.margin_of == "gain" else np.zeros_like(base)
        for plan, counts in zip(plans, totals, strict=True):
            certified, inferior = judged(losses, placebo, weights, margin, plan, by_quality=world.by_quality)
            counts.add(world, certified, inferior)
    return totals


def judged(
    losses: Array, base: Array, weights: Array, margin: Margin, plan: tuple[int, ...], *, by_quality: bool = True
) -> tuple[Mask, Mask]:
    """(studies, ranks) each: certified and inferior after the last look of the plan."""
    allowed = (ALPHA,) if len(plan) == 1 else levels(ALPHA, plan)
    *_, last = steps(losses, base, weights, margin, plan, allowed, by_quality=by_quality)
    return last.look.certified, last.look.inferior
