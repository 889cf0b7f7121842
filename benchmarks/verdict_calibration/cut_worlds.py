"""The worlds in which the verdict on a cut ladder is tried, and studies drawn from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv, ndtr

from sweep.verdict.bounds import Array

MARGIN = 0.02  # of the gain
ONE = (1.0, 0.0)
TWO = (1.0, 0.4, 0.0)
FIVE = (2.5, 1.0, 0.4, 0.16, 0.06, 0.0)
CLOSE = (1.0, 0.9, 0.5, 0.2, 0.0)
LADDERS = {"one cut": ONE, "two cuts": TWO, "five cuts": FIVE}
MEASURED = "like measured"


@dataclass(frozen=True, slots=True)
class CutWorld:
    """A true state of affairs.

    Attributes:
        name: what is particular about it.
        group: the line of the table that it belongs to.
        truth: by how many margins the expected loss of each rank, ascending, is above that of the uncut adapter, the last one. At
            1 and above a rank is not good.
        shape: of the factor by which the loss of a cut differs between seeds: `normal`, `lognormal` or `gamma`.
        cv: standard deviation of that factor over seeds; its mean is 1.
        own_cv: the same of the rank at the margin alone; `cv` if None.
        both: standard deviation between seeds of noise on both sides of zero, of the largest cut, in margins; of a cut that
            loses less it falls with the square root of what it loses.
        correlation: of the factors of two cuts of the same adapter.
        top_sd: standard deviation between seeds of the uncut adapter's loss, nats.
        uncut, base: expected losses of the uncut adapter and of the unadapted base, nats.
        count: number of examples.
        example_cv: how much what a cut loses differs between examples (lognormal factor).
        stress: outside what the verdict promises; shown, not held to the level.
    """

    name: str
    group: str
    truth: tuple[float, ...] = FIVE
    shape: str = "lognormal"
    cv: float = 0.4
    own_cv: float | None = None
    both: float = 0.0
    correlation: float = 0.8
    top_sd: float = 0.05
    uncut: float = 0.555
    base: float = 2.956
    count: int = 40
    example_cv: float = 0.5
    stress: bool = False

    @property
    def margin_in_loss(self) -> float:
        return MARGIN * (self.base - self.uncut)

    def draw(self, studies: int, seeds: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Losses (studies, ranks, seeds, examples) whose expectations are the world's, and the base's (studies, examples)."""
        truth = np.array(self.truth[:-1])
        cuts = len(truth)
        together = self.correlation + (1 - self.correlation + 1e-9) * np.eye(cuts)
        z = np.linalg.cholesky(together) @ random.standard_normal((studies, cuts, seeds))
        factor = np.stack([self._factor(z[:, place], loses) for place, loses in enumerate(truth)], axis=1)
        both = self.both * np.sqrt(np.maximum(np.abs(truth), 0.02) / max(np.abs(truth).max(), 1.0))
        loses = truth[:, None] * factor + both[:, None] * random.standard_normal(z.shape)
        spread = np.sqrt(np.log1p(self.example_cv**2))
        hard = np.exp(spread * random.standard_normal((studies, 1, 1, self.count)) - spread**2 / 2)
        each = 0.2 * self.example_cv * random.standard_normal((studies, cuts, seeds, self.count))
        cut = self.margin_in_loss * (loses[..., None] * hard + np.sqrt(np.abs(loses[..., None])) * each)
        shared = 0.3 * random.standard_normal((studies, 1, 1, self.count))
        top = self.uncut + self.top_sd * random.standard_normal((studies, 1, seeds, 1)) + shared
        top = top + 0.03 * random.standard_normal((studies, 1, seeds, self.count))
        base = self.base + shared[:, 0, 0] + 0.6 * random.standard_normal((studies, self.count))
        return np.concatenate([top + cut, top], axis=1), base

    def _factor(self, z: Array, loses: float) -> Array:
        cv = self.own_cv if self.own_cv is not None and abs(loses - 1) < 0.01 else self.cv
        if self.shape == "normal":
            return 1 + cv * z
        if self.shape == "lognormal":
            sigma = np.sqrt(np.log1p(cv**2))
            lognormal: Array = np.exp(sigma * z - sigma**2 / 2)
            return lognormal
        gamma: Array = gammaincinv(1 / cv**2, ndtr(z)) * cv**2
        return gamma


def cut_worlds() -> Iterator[CutWorld]:
    """All worlds of the benchmark."""
    for shape in ("normal", "lognormal", "gamma"):
        for cv in (0.2, 0.4, 0.6):
            for name, truth in LADDERS.items():
                world = CutWorld(f"{shape} {cv}, {name}", f"{shape}, {name}", truth, shape, cv)
                yield replace(world, count=16, example_cv=0.1)
    few = CutWorld("", "", cv=0.6, count=24)
    for cv in (0.4, 0.6):
        for correlation in (0.0, 0.5, 0.8):
            group = f"seeds move the cuts alike: {correlation}"
            yield replace(few, name=f"{group}, {cv}", group=group, correlation=correlation, cv=cv)
    for top_sd in (0.02, 0.1, 0.2):
        for count, example_cv in ((40, 1.0), (200, 1.0)):
            group = f"sd of the uncut {top_sd}"
            name = f"{group}, {count} examples"
            yield replace(few, name=name, group=group, top_sd=top_sd, count=count, example_cv=example_cv)
    for both in (0.1, 0.3, 0.8):
        for shape, cv in (("normal", 0.4), ("lognormal", 0.6), ("gamma", 0.6)):
            group = f"noise on both sides of zero, sd {both} margins"
            yield replace(few, name=f"{group}, {shape} {cv}", group=group, both=both, shape=shape, cv=cv)
    for truth in (CLOSE, (1.0, 0.0, 0.0, 0.0), (1.0, -0.3, -0.4, -0.2, 0.0), (4.0, 1.0, -0.1, 0.0)):
        for both in (0.0, 0.3):
            name = f"cuts at {', '.join(map(str, truth))} margins, {both}"
            yield replace(few, name=name, group="other ladders", truth=truth, both=both, cv=0.5)
    for truth in ((0.9999, 0.0), (3.0, 0.9999, 0.4, 0.1, 0.0), (0.9999, 0.5, 0.0, 0.0)):
        for shape, cv in (("normal", 0.6), ("lognormal", 0.4), ("gamma", 0.6)):
            name = f"{shape} {cv}, just good: {', '.join(map(str, truth))}"
            yield replace(few, name=name, group="a cut just within the margin", truth=truth, shape=shape, cv=cv)
    for both in (0.2, 0.8):
        name = f"cuts that lose nothing, sd {both}"
        yield replace(few, name=name, group="cuts that lose nothing", truth=(0.0,) * 6, both=both)
    for base, uncut in ((0.8, 0.75), (0.756, 0.75)):
        name = f"hardly a gain: {base - uncut:.3f}"
        yield replace(few, name=name, group="hardly a gain", base=base, uncut=uncut, top_sd=0.002, cv=0.4)
    yield from _beyond(few)


def _beyond(few: CutWorld) -> Iterator[CutWorld]:
    """Worlds outside what is promised."""
    for shape in ("lognormal", "gamma"):
        for cv in (0.8, 1.0, 1.5):
            for ladder, truth in (("one cut", ONE), ("five cuts", FIVE)):
                name = f"{shape} {cv}, {ladder}"
                world = CutWorld(name, name, truth, shape, cv, stress=True)
                yield replace(world, count=16, example_cv=0.1)
    for correlation in (0.9, 1.0):
        for cv in (0.4, 0.6):
            name = f"seeds move the cuts alike: {correlation}, lognormal {cv}"
            more = {"correlation": correlation, "cv": cv, "count": 16, "example_cv": 0.1}
            yield replace(few, name=name, group=name, stress=True, **more)  # type: ignore[arg-type]
    for own, cv in ((0.4, 0.2), (0.6, 0.3), (0.6, 0.1), (1.0, 0.25)):
        name = f"lognormal {own} at the margin, {cv} elsewhere"
        yield replace(few, name=name, group=name, own_cv=own, cv=cv, count=16, example_cv=0.1, stress=True)


def power_cut_worlds(steps: tuple[float, ...]) -> Iterator[tuple[str, float, CutWorld]]:
    """Four cuts that lose little, and the smallest, which loses this share of the margin."""
    for shape, cv, both in (
        ("lognormal", 0.25, 0.0),
        ("lognormal", 0.5, 0.0),
        ("lognormal", 1.0, 0.0),
        ("normal", 0.0, 0.3),
    ):
        kind = f"{shape} {cv}" if cv else f"both sides, sd {both} margins"
        for step in steps:
            truth = (step, *(min(step / 2.5, 0.4) / 2.5**place for place in range(3)), 0.0)
            yield kind, step, CutWorld(f"{kind}, {step}", "power", truth, shape, cv, both=both, count=40)
