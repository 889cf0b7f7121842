"""What a clause is, whom it binds and what it sets: `demurrage; Charterers; USD 14,500 per day`.

The answer has the type, then the party that must act or pay, or bears the loss (if the clause only gives a right: the party that
has it; if it limits liability: the party whose liability is limited), then the one figure that the clause turns on. Further
figures are in the second sentence at most.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from tasks.example import Example
from tasks.legal.drawing import Drawer, cycle
from tasks.legal.layout import asked, choices
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import write

KIND = "clause"
QUESTIONS = (
    "Type ({}); party; figure?",
    "Is it {}? Type; party; figure.",
    "Name the type ({}), the party and the figure.",
    "Classify as {}. Type; party; figure.",
    "{}? Type; party; figure:",
    "State type ({}), party, figure.",
    "Index by type ({}), party and figure.",
    "For the register: type ({}); party; figure.",
    "Choose {}; then party; figure.",
    "Give its type ({}), its party and its figure.",
    "Label it {}, with party and figure.",
    "Summarise as type; party; figure. Types: {}.",
    "Types: {}. Which type, which party, what figure?",
    "Fill in: type ({}), party, figure.",
    "File under {}: type; party; figure?",
    "Read and tag: type ({}), party, figure.",
)
_TAIL = 0.5
_OTHERS = 2


def questions(types: Sequence[Texts], names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the clauses of all types."""
    bodies = cycle([(kind, body) for kind in types for body in kind.sections["clause"]], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, kind, body, types, names, rng)) for kind, body in chosen]


def _question(kind: Texts, body: str, types: Sequence[Texts], names: Names, rng: random.Random) -> Example:
    between = contract(kind.world, names, rng)
    written = write(body, between, kind.side, rng)
    text = written.text
    if rng.random() < _TAIL:
        text = f"{text} {write(rng.choice(kind.sections['tail']), between, kind.side, rng).text}"
    answer = f"{kind.name}; {written.a}; {written.figure}"
    others = rng.sample([other.name for other in types if other is not kind], _OTHERS)
    question = rng.choice(QUESTIONS).format(choices([kind.name, *others], rng))
    return Example(asked(text, question), answer, kind=KIND)
