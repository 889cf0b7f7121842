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
from tasks.legal.layout import asked, numbered
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import write

KIND = "clause"
QUESTIONS = (
    "Type; party; figure?",
    "Which clause is this, whom does it concern first, and what figure does it set?",
    "Name the clause, the party and the figure.",
    "Classify: type, party, figure.",
    "What type of clause? Which party? What figure?",
    "State type, party, figure.",
    "Which type, which party, how much or how long?",
    "Index this clause by type, party and figure.",
    "For the register: type; party; figure.",
    "Type of clause, party bound or entitled, key figure:",
    "What is this clause called, who has the duty or right, what is the figure?",
    "Give its type, its party and its figure.",
    "Label the clause, with party and figure.",
    "Summarise as type; party; figure.",
    "Clause type? Party? Amount, time or other figure?",
    "Put on a card: type; party; figure.",
    "Fill in: type, party, figure.",
    "Contract review. Type, party and figure?",
    "How should this be filed (type; party; figure)?",
    "Read and tag: clause type, party, figure.",
)
_TAIL = 0.5


def questions(types: Sequence[Texts], names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the clauses of all types."""
    bodies = cycle([(kind, body) for kind in types for body in kind.sections["clause"]], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, kind, body, names, rng)) for kind, body in chosen]


def _question(kind: Texts, body: str, names: Names, rng: random.Random) -> Example:
    between = contract(kind.world, names, rng)
    written = write(body, between, kind.side, rng)
    text = numbered(written.text, rng)
    if rng.random() < _TAIL:
        text = f"{text} {write(rng.choice(kind.sections['tail']), between, kind.side, rng).text}"
    answer = f"{kind.name}; {written.a}; {written.figure}"
    return Example(asked(text, rng.choice(QUESTIONS), rng), answer, kind=KIND)
