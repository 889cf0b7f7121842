"""Who bears a loss: `strikes of stevedores; Charterers; 3 days`.

The clause puts some causes on one party and some on the other, and an event follows. The answer has the cause in the words of the
clause, the party that the clause puts it on, and the loss in the event.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from tasks.example import Example
from tasks.legal.drawing import Drawer, cycle
from tasks.legal.figures import Figure, figure, plain_period
from tasks.legal.layout import asked
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import sentences, write

KIND = "risk"
QUESTIONS = (
    "Cause; party; loss?",
    "Which cause, which party, what loss?",
    "Which cause is that, who bears it, and how much is lost?",
    "Cause, party that bears it, loss:",
    "Say the cause, who bears it, and the loss.",
    "Allocate: cause; party; loss.",
    "Name the cause, the party at risk and the loss.",
    "Under which cause, at whose expense, how much?",
    "Give cause; party; loss.",
    "Claims sheet: cause; party; loss.",
    "What is the cause, who pays, what is lost?",
    "Cause of the loss, party that carries it, loss?",
    "Put the event under its cause, with party and loss.",
    "Who bears it? Cause; party; loss.",
    "Whose risk? Cause; party; loss.",
    "For whose account? Cause; party; loss.",
)
_CLAUSE = "clause"


def questions(files: Sequence[Texts], names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the clauses of the files."""
    bodies = cycle([(file, body) for file in files for body in file.sections[_CLAUSE]], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, file, body, names, rng)) for file, body in chosen]


def _question(file: Texts, body: str, names: Names, rng: random.Random) -> Example:
    between = contract(file.world, names, rng)
    a, b = between.sides(file.side, rng)
    causes = [name for name in file.sections if name != _CLAUSE]
    slots = [slot for slot in ("a1", "a2", "b1", "b2") if f"{{{slot}}}" in body]
    given = dict(zip(slots, rng.sample(causes, len(slots)), strict=True))
    happens = rng.choice(slots)
    written = write(body, between.ordered(a, b), "first", rng, given)
    loss = _loss(file.world, rng)
    event = sentences(rng.choice(file.sections[given[happens]]).replace("{loss}", loss.text))
    order = ((written.text, event), (event, written.text))[rng.random() < 0.25]
    prompt = asked("\n".join(order), rng.choice(QUESTIONS))
    bearer = a if happens.startswith("a") else b
    return Example(prompt, f"{given[happens]}; {bearer.answer}; {loss.answer}", kind=KIND)


def _loss(world: str, rng: random.Random) -> Figure:
    """Time at sea, money ashore."""
    return plain_period(rng) if world == "sea" else figure("money", 800, 90_000, world, rng)
