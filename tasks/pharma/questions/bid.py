"""Whether to bid: four rules, and an offer that satisfies all of them or violates exactly one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.example import Example
from tasks.pharma.tables import Medicine

KIND = "bid"
CODES = ("R1", "R2", "R3", "R4")
INSTRUCTIONS = (
    "Bid only if no rule is broken; else name the rule.",
    "Do we bid? If a rule is broken, name it.",
    "Bid, or no bid and the broken rule?",
    "Decide on the bid; a broken rule forbids it.",
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule with a numeric `bound` (minimum or maximum) and its usual `values`."""

    topic: str
    unit: str
    bound: str
    values: tuple[int, ...]

    def line(self, broken: bool, rng: random.Random) -> str:
        """The offer and its relation to the bound; the two differ by at least a quarter."""
        value = rng.choice(self.values)
        higher = (self.bound == "minimum") != broken
        offered = round(value * rng.choice((1.3, 1.5, 2.0) if higher else (0.5, 0.6, 0.7)))
        stands = {"minimum": ("meets", "below"), "maximum": ("within", "above")}[self.bound][broken]
        return f"{self.topic}: {offered} {self.unit}, {stands} the {self.bound} of {value}"


@dataclass(frozen=True, slots=True)
class Demand:
    """A yes-or-no rule; `needed` is None if buyers differ."""

    topic: str
    needed: bool | None = None

    def line(self, broken: bool, rng: random.Random) -> str:
        """Whether the item is needed, and whether the offer includes it."""
        if broken:
            return f"{self.topic}: needed, missing"
        needed = rng.random() < 0.6 if self.needed is None else self.needed
        return f"{self.topic}: needed, offered" if needed else f"{self.topic}: not needed"


COLD, NOT_COLD = Demand("cold chain", needed=True), Demand("cold chain", needed=False)
TIMES = (
    Limit("shelf life", "months", "minimum", (12, 18, 24, 30)),
    Limit("delivery", "days", "maximum", (20, 30, 45, 60)),
    Limit("offer validity", "days", "minimum", (60, 90, 120, 180)),
)
PAPERS = (Demand("WHO PQ"), Demand("GMP certificate"), Demand("CPP"), Demand("registration"))
TERMS_OF_TRADE = (
    Limit("price", "EUR", "maximum", (20, 40, 60, 80, 150)),
    Limit("quantity", "packs", "minimum", (200, 400, 500, 800)),
    Limit("advance payment", "percent", "maximum", (10, 20, 30, 40)),
)


def questions(medicines: Sequence[Medicine], count: int, rng: random.Random) -> list[Example]:
    """`count` different questions: about a quarter `bid`, and each of the four codes equally often."""
    each = (3 * count + 8) // 16
    verdicts: list[str | None] = [code for code in CODES for _ in range(each)]
    verdicts += [None] * (count - len(verdicts))
    made: dict[str, Example] = {}
    for verdict in verdicts:
        size = len(made)
        while len(made) == size:
            example = _question(rng.choice(medicines), verdict, rng)
            made.setdefault(example.prompt, example)
    return list(made.values())


def _question(medicine: Medicine, broken: str | None, rng: random.Random) -> Example:
    rules: dict[str, Limit | Demand] = {
        "R1": _storage_rule(medicine, broken == "R1", rng),
        "R2": rng.choice(TIMES),
        "R3": rng.choice(PAPERS),
        "R4": rng.choice(TERMS_OF_TRADE),
    }
    lines = [f"{code} {rule.line(code == broken, rng)}" for code, rule in rules.items()]
    rng.shuffle(lines)
    prompt = "\n".join((rng.choice(INSTRUCTIONS), f"Item: {medicine.inn}", *lines, "Answer:"))
    return Example(prompt, f"no bid; {broken}" if broken else "bid", kind=KIND)


def _storage_rule(medicine: Medicine, broken: bool, rng: random.Random) -> Limit | Demand:
    """A cold chain if the medicine needs one; otherwise its temperature limit in transport, or none."""
    if medicine.storage.startswith("refrigerate"):
        return COLD
    if broken or rng.random() < 0.5:
        return Limit("transport temperature", "C", "maximum", tuple(map(int, re.findall(r"\d+", medicine.storage))))
    return NOT_COLD
