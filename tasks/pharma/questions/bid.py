"""Whether to bid: three of the desk's four rules, and an offer that keeps all of them or breaks exactly one.

A row says in a word how the offer stands, then gives the figures and the rule's code: "short shelf life, 12 against 18 months (R2)".
The answer is the medicine, the reason and the decision. The reason for a bid is its price; against it, the row of the broken rule.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.example import Example
from tasks.pharma.tables import Medicine

KIND = "bid"
DECISIONS = ("bid", "no bid")
SHOWN = 3
BIDS = 2
"""Of five questions, how many end in a bid."""
OUT_OF = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule with a number: what is offered against what is wanted, which it must reach (`minimum`) or not exceed (`maximum`)."""

    topic: str
    unit: str
    bound: str
    values: tuple[int, ...]
    kept: tuple[str, ...]
    broken: tuple[str, ...]

    def row(self, breaks: bool, rng: random.Random) -> str:
        """How the offer stands; offered and wanted differ by at least a quarter."""
        value = rng.choice(self.values)
        higher = (self.bound == "minimum") != breaks
        offered = round(value * rng.choice((1.3, 1.4, 1.5, 1.6, 2.0) if higher else (0.5, 0.6, 0.7)))
        word = rng.choice(self.broken if breaks else self.kept)
        return f"{word} {self.topic}, {offered} against {value} {self.unit}"


@dataclass(frozen=True, slots=True)
class Demand:
    """A yes-or-no rule: something is there or not."""

    topic: str
    kept: tuple[str, ...]
    broken: tuple[str, ...]

    def row(self, breaks: bool, rng: random.Random) -> str:
        """How the offer stands."""
        return f"{rng.choice(self.broken if breaks else self.kept)} {self.topic}"


_LONG, _SHORT = ("long", "ample", "good"), ("short", "poor", "insufficient")
_SMALL, _LARGE = ("small", "modest", "fair"), ("high", "excessive")
_THERE, _NOT_THERE = ("valid", "current", "attached", "signed"), ("missing", "expired", "no")
STORAGE_COLD = (
    Demand("cold chain", ("unbroken", "closed", "documented"), ("missing", "broken", "no")),
    Demand("temperature logger", ("calibrated", "included"), ("missing", "defective")),
)
STORAGE_WARM = (
    Limit("transport", "C", "maximum", (25, 30), ("cool", "safe"), ("hot", "unsafe")),
    Demand("moisture barrier", ("sound", "intact"), ("missing", "torn")),
)
TIMES = (
    Limit("shelf life", "months", "minimum", (12, 18, 20, 24, 30), _LONG, _SHORT),
    Limit("validity", "days", "minimum", (60, 90, 120, 180), _LONG, _SHORT),
    Limit("delivery", "days", "maximum", (20, 30, 45, 60, 90), ("prompt", "early", "timely"), ("late", "slow")),
)
PAPERS = tuple(
    Demand(paper, _THERE, _NOT_THERE)
    for paper in ("CPP", "GMP certificate", "registration", "stability data", "power of attorney", "free sale letter")
)
TRADE = (
    Limit("quantity", "packs", "minimum", (200, 300, 400, 500, 800), ("ample", "sufficient"), ("low", "insufficient")),
    Limit("advance", "percent", "maximum", (10, 20, 30, 40), _SMALL, _LARGE),
    Limit("freight", "EUR", "maximum", (50, 80, 120, 150, 200), _SMALL, _LARGE),
    Demand("bid bond", _THERE[:3], _NOT_THERE),
)
HEADS = (
    "{inn} at EUR {price}: ",
    "{inn} - EUR {price}: ",
    "{inn} for EUR {price} a pack: ",
    "Offer on {inn}, EUR {price}: ",
    "Our {inn} costs EUR {price}, with ",
    "Can we bid on {inn}? EUR {price}; ",
    "Bid or not: {inn}, EUR {price}; ",
    "Go or no go for {inn} (EUR {price}): ",
    "Item {inn}, price EUR {price}: ",
    "Check of {inn}: EUR {price}, ",
    "For {inn} we would ask EUR {price}, given ",
    "Decide on {inn} at EUR {price}: ",
    "{inn} | EUR {price} | ",
    "Draft bid: {inn}, EUR {price}; ",
    "Review {inn} (EUR {price}) - ",
    "The supplier of {inn} wants EUR {price}; ",
    "Quote in hand for {inn}: EUR {price}, ",
    "Tender line {inn}: EUR {price}; ",
    "Should {inn} go in at EUR {price}, with ",
    "EUR {price} for {inn}: ",
    "EUR {price}, {inn}, ",
    "At EUR {price}, {inn}: ",
    "Worksheet {inn}; EUR {price}; ",
    "Is {inn} ready to bid? EUR {price}; ",
)
JOINTS = ("; ", ", then ", " / ", " | ", ", plus ", " + ", "\n")
ENDS = ("", "", "", ".", " Bid?", " Decision?", "\nBid or no bid?", " Yes or no?", " Verdict?", " Shall we bid?")


def questions(medicines: Sequence[Medicine], count: int, rng: random.Random) -> list[Example]:
    """`count` different questions: two in five a bid, and each of the four codes equally often among the others."""
    made: dict[str, Example] = {}
    codes = 0
    for number in range(count):
        bids = number % OUT_OF < BIDS
        broken = None if bids else f"R{codes % 4 + 1}"
        codes += not bids
        size = len(made)
        while len(made) == size:
            example = _question(rng.choice(medicines), broken, rng)
            made.setdefault(example.prompt, example)
    return list(made.values())


def _question(medicine: Medicine, broken: str | None, rng: random.Random) -> Example:
    cold = medicine.storage.startswith("refrigerate")
    rules = {"R1": STORAGE_COLD if cold else STORAGE_WARM, "R2": TIMES, "R3": PAPERS, "R4": TRADE}
    shown = rng.sample([code for code in rules if code != broken], SHOWN - (broken is not None))
    shown += [broken] if broken else []
    rows = {code: f"{rng.choice(rules[code]).row(code == broken, rng)} ({code})" for code in shown}
    lines = rng.sample(list(rows.values()), len(rows))
    price = f"{rng.randint(1, 240)}.{rng.randint(0, 99):02d}"
    head = rng.choice(HEADS).format(inn=medicine.inn, price=price)
    prompt = f"{head}{rng.choice(JOINTS).join(lines)}{rng.choice(ENDS[:4] if '?' in head else ENDS)}"
    reason, decision = (rows[broken], "no bid") if broken else (f"EUR {price}", "bid")
    return Example(prompt, f"{medicine.inn}; {reason}; {decision}", kind=KIND)
