"""Whose liability is capped, at what, and what stays uncapped: `Carrier; USD 500,000; wilful misconduct`."""

from __future__ import annotations

import random
from functools import partial

from tasks.example import Example
from tasks.legal.drawing import Drawer, cycle
from tasks.legal.layout import asked
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import write

KIND = "cap"
QUESTIONS = (
    "Cap: party; limit; exception?",
    "Whose liability is capped, at what limit, with which exception?",
    "Which party is protected, up to which limit, with which exception?",
    "Party; limit; exception.",
    "Name the party, the limit and the exception.",
    "How far does the protection go? Party, limit, exception.",
    "Liability cap particulars: party, limit, exception?",
    "Whose exposure is limited? Party; limit; exception.",
    "State the party, the limit and the exception.",
    "Which party, how much at most, what exception?",
    "For the risk table: party; limit; exception.",
    "Maximum exposure: party, limit, exception?",
    "Party, limit (amount or percentage), exception:",
    "Which party benefits, what is the limit, what is the exception?",
    "Give party, limit and exception.",
    "Party that may invoke the limit, the limit, its exception?",
    "Insurers ask: which party, which limit, which exception?",
    "Capped party; limit; exception?",
)


def questions(file: Texts, names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the clauses of the file."""
    bodies = cycle(file.sections["clause"], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, file, body, names, rng)) for body in chosen]


def _question(file: Texts, body: str, names: Names, rng: random.Random) -> Example:
    between = contract(file.world, names, rng)
    place = "exception at sea" if between.world == "sea" else "exception ashore"
    exception = rng.choice(file.sections["exception"] + file.sections[place])
    written = write(body, between, file.side, rng, {"except": exception})
    answer = f"{written.a}; {written.figure}; {exception}"
    return Example(asked(written.text, rng.choice(QUESTIONS)), answer, kind=KIND)
