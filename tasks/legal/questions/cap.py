"""Whose liability is capped, at what, and what stays uncapped: `Carrier; USD 500,000; wilful misconduct`."""

from __future__ import annotations

import random
from functools import partial

from tasks.example import Example
from tasks.legal.drawing import Drawer, cycle
from tasks.legal.layout import asked, numbered
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import write

KIND = "cap"
QUESTIONS = (
    "Whose liability is capped, at what, except for what?",
    "Cap: party; limit; exception?",
    "Who is protected, up to which limit, and what is carved out?",
    "Party; cap; carve-out.",
    "What is the ceiling, for whom, and what lies outside it?",
    "Name the party, the limit and the exception.",
    "How far does the protection go? Party, limit, exception.",
    "Liability cap particulars?",
    "Whose exposure is limited? Limit? Exception?",
    "State who is limited, the maximum and what breaks it.",
    "Who, how much at most, and what is excepted?",
    "For the risk table: party; cap; exception.",
    "Maximum exposure: whose, how much, save for what?",
    "Party, amount or percentage, and the unlimited case:",
    "Which party benefits, what is the limit, what is uncapped?",
    "Give party, ceiling and carve-out.",
    "Who may invoke the limit, what is it, when is it lost?",
    "Insurers ask: whose cap, how high, which exception?",
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
    return Example(asked(numbered(written.text, rng), rng.choice(QUESTIONS), rng), answer, kind=KIND)
