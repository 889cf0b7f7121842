"""The worlds in which the verdict is tried: what is true of each rank, and how noisy everything is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

NARROW = 0.07  # nats: a margin of 1 to 2 % of the gain, under three standard deviations of a seed
WIDE = 0.45  # nats: so wide that every good rank passes and the rank at the margin is always reached


@dataclass(frozen=True, slots=True)
class World:
    """A true state of affairs, from which studies are drawn.

    Attributes:
        name: what is particular about it.
        group: the line of the table that it belongs to.
        truth: by how many margins the expected loss of each rank, ascending, is above the best one's. At 1 and above a rank
            is not good.
        noise: standard deviation between seeds of each rank, in units of `seed_sd`.
        margin: in nats (gain, loss) or points (metric).
        best, base: expected losses of the best rank and of the unadapted base.
        correlation: of two ranks trained with the same seed.
        seeds: `gaussian`, or `skewed` to the right (skewness 1).
        examples: `gaussian`, `t3`, `lognormal` (hard examples are hard, and noisy, for every rank) or `bernoulli`.
        example_sd: standard deviation between examples of a rank's own deviation; shared difficulty cancels.
        by_quality: whether it is a ladder of ranks; one of arms is ordered by cost.
        stress: outside what the verdict promises; shown, not held to the level.
    """

    name: str
    group: str
    truth: tuple[float, ...]
    noise: tuple[float, ...]
    margin_of: str = "gain"
    margin: float = NARROW
    best: float = 0.2
    base: float = 4.7
    seed_sd: float = 0.025
    correlation: float = 0.0
    seeds: str = "gaussian"
    examples: str = "gaussian"
    example_sd: float = 0.08
    count: int = 64
    stress: bool = False
    by_quality: bool = True

    @property
    def share(self) -> float:
        """The margin as it is declared."""
        return self.margin / {"gain": self.base - self.best, "loss": self.best, "metric": 1.0}[self.margin_of]

    @property
    def smallest_good(self) -> int:
        return next(place for place, distance in enumerate(self.truth) if distance < 1)


LADDERS = {
    3: (1.0, 0.3, 0.0),
    4: (1.0, 0.0, 0.3, 0.2),
    5: (3.0, 1.0, 0.4, 0.2, 0.0),
    6: (3.0, 1.0, 0.0, 0.5, 0.3, 0.5),
    7: (6.0, 3.0, 1.0, 0.4, 0.2, 0.0, 0.2),
}
# the rank at the margin is reached and nothing but the best rank is near: the hardest ladder for a narrow margin
HARD = (6.0, 1.0, 0.0)
NEAR = (3.0, 1.0, 0.0)
TOPS = {
    "a lot": (1.0, 0.0, 0.3, 4.0),
    "a lot, twice": (1.0, 0.0, 0.3, 4.0, 5.0),
    "a little": (1.0, 0.0, 0.3, 1.06),
    "somewhat": (1.0, 0.0, 0.3, 1.2),
    "exactly": (1.0, 0.0, 0.3, 1.0),
    "exactly, twice": (1.0, 0.0, 0.3, 1.0, 1.0),
    "by less and less": (1.0, 0.0, 1.0, 1.5, 2.5),
    "all but one": (1.0, 1.0, 0.0, 1.0, 1.0),
}
# what could be called inferior by mistake: ranks a hair within the margin
JUST_GOOD = {
    "the smallest": (0.9999, 0.0, 0.0, 0.0),
    "the second": (3.0, 0.9999, 0.0, 0.0),
    "the largest": (0.0, 0.9999),
    "the largest of four": (0.0, 0.5, 0.5, 0.9999),
    "the smallest of three, others within": (0.9999, 0.3, 0.0, 0.3),
    "the smallest of six": (0.9999, 0.0, 0.0, 0.0, 0.0, 0.0),
    "both ends": (0.9999, 0.0, 0.0, 0.9999),
    "the smallest, top at the margin": (0.9999, 0.0, 0.0, 1.0),
    "the smallest, top beyond": (0.9999, 0.0, 0.0, 1.2),
    "the smallest, top far beyond": (0.9999, 0.0, 0.0, 4.0),
    "the smallest, two tops at the margin": (0.9999, 0.0, 1.0, 1.0),
}
# ladders of arms, ordered by cost: a cheap method may be better than an expensive one, and methods may be equal
METHODS = {
    "best in the middle": ((1.0, 0.0, 1.0, 1.0), (1.0, 0.3, 0.0, 1.0, 1.0), (6.0, 1.0, 0.0, 3.0, 1.0)),
    "cheap better than expensive": ((0.0, 1.0), (0.0, 1.0, 1.0, 1.0), (0.3, 0.0, 1.0, 6.0), (0.0, 0.3, 1.0, 3.0, 6.0)),
    "good and bad by turns": ((0.2, 1.0, 0.0, 1.0, 0.3), (1.0, 0.0, 1.0, 0.3, 1.0, 0.2), (0.0, 1.0, 0.0, 1.0, 0.0)),
    "ties": ((0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 0.0)),
}
NOISES = ("equal", "small rank x4", "best rank x4", "both x4", "largest x4", "small rank x2")


def noise_of(kind: str, truth: tuple[float, ...]) -> tuple[float, ...]:
    """Standard deviations between seeds: four times (twice) as large where the kind says."""
    best = truth.index(0.0)
    small = max((place for place in range(best) if truth[place] >= 1), default=0)
    loud = {"small rank": {small}, "best rank": {best}, "both": {small, best}, "largest": {len(truth) - 1}}
    what, _, factor = kind.rpartition(" x")
    return tuple(float(factor) if place in loud.get(what, set()) else 1.0 for place in range(len(truth)))


def worlds() -> Iterator[World]:
    """All worlds of the benchmark."""
    for ranks, truth in LADDERS.items():
        for noise in NOISES:
            yield _world(f"{ranks} ranks, {noise}", f"noise: {noise}", truth, noise, margin=WIDE)
            if ranks == 4:
                yield _world(f"{ranks} ranks, narrow, {noise}", f"noise: {noise}", truth, noise)
    for name, truth in TOPS.items():
        for noise in ("equal", "small rank x4", "best rank x4", "largest x4"):
            for width, margin in (("narrow", NARROW), ("wide", WIDE)):
                yield _world(f"top {name}, {width}, {noise}", f"overfitting top: {name}", truth, noise, margin=margin)
    for name, truth in JUST_GOOD.items():
        for noise in ("equal", "largest x4"):
            yield _world(f"just good: {name}, {noise}", "a rank just within the margin", truth, noise)
    for margin_of, best in (("loss", 0.8), ("metric", 0.3)):
        for noise in ("equal", "small rank x4", "best rank x4"):
            for width, margin in (("narrow", NARROW), ("wide", WIDE)):
                changes = {"margin_of": margin_of, "best": best, "margin": margin}
                yield _world(f"{margin_of}, {width}, {noise}", f"margin of {margin_of}", LADDERS[4], noise, **changes)
    for shape in ("t3", "lognormal"):
        for margin_of, best in (("gain", 0.15), ("gain", 0.4), ("loss", 1.1), ("metric", 0.3)):
            for noise in ("equal", "small rank x4", "best rank x4"):
                changes = {"margin_of": margin_of, "best": best, "examples": shape, "base": 2.8}
                yield _world(f"{shape}, {margin_of} {best}, {noise}", f"examples: {shape}", HARD, noise, **changes)
    for noise in ("equal", "small rank x4", "best rank x4"):
        for count in (64, 128):
            changes = {"margin_of": "metric", "margin": 0.1, "best": 0.3, "examples": "bernoulli", "count": count}
            yield _world(f"scores 0 or 1, {count}, {noise}", "examples: bernoulli", NEAR, noise, **changes)
    for shape in ("gaussian", "t3", "lognormal"):
        for seed_sd in (0.0, 0.005, 0.012):
            changes = {"seed_sd": seed_sd, "examples": shape, "margin": 0.05}
            yield _world(f"{shape}, seeds {seed_sd}", "examples outweigh seeds", HARD, "equal", **changes)
    for margin_of, best in (("gain", 0.2), ("loss", 0.8), ("metric", 0.3)):
        for truth in (HARD, LADDERS[5], TOPS["a lot"]):
            changes = {"seeds": "skewed", "margin_of": margin_of, "best": best, "margin": WIDE}
            yield _world(f"skewed, {len(truth)} ranks, {margin_of}", "seeds: skewed", truth, "equal", **changes)
    for noise in ("small rank x2", "small rank x4", "best rank x4"):
        changes = {"seeds": "skewed", "margin": WIDE, "stress": True}
        yield _world(f"skewed, {noise}", f"stress: skewed and {noise}", LADDERS[3], noise, **changes)
    for correlation in (0.3, 0.6, 0.9, -0.2):
        group = "seeds correlated" if correlation > 0 else "stress: seeds correlated -0.2"
        changes = {"correlation": correlation, "margin": WIDE, "stress": correlation < 0}
        for noise in ("equal", "small rank x4"):
            yield _world(f"correlation {correlation}, {noise}", group, LADDERS[3], noise, **changes)
    for kind, truths in METHODS.items():
        for truth in truths:
            for noise in ("equal", "best rank x4", "largest x4"):
                for width, margin in (("narrow", NARROW), ("wide", WIDE)):
                    shown = " ".join(f"{distance:g}" for distance in truth)
                    changes = {"margin": margin, "by_quality": False}
                    yield _world(f"methods {shown}, {width}, {noise}", f"methods: {kind}", truth, noise, **changes)


def power_worlds(steps: tuple[float, ...], margin_in_sd: float = NARROW / 0.025) -> Iterator[tuple[float, World]]:
    """Four ranks of which the smallest is this share of the margin above three equal ones.

    Args:
        margin_in_sd: the margin in standard deviations of a seed.
    """
    for step in steps:
        truth = (step, 0.0, 0.0, 0.0)
        margin = 0.025 * margin_in_sd
        yield step, World(f"difference {step}", "power", truth, (1.0,) * 4, margin=margin, example_sd=0.1, count=100)


def _world(name: str, group: str, truth: tuple[float, ...], noise: str, **changes: object) -> World:
    world = World(name, group, truth, noise_of(noise, truth) if noise != "equal" else (1.0,) * len(truth))
    return replace(world, **changes)  # type: ignore[arg-type]
