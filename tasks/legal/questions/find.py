"""Which of two or three clauses answers a question: `12; lien; 10 days`.

The answer has the number before the clause, its type, and its figure.
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

KIND = "find"
WORLDS = {"sea": ("sea", "any"), "goods": ("goods", "any"), "any": ("any",)}
"""The contracts that hold clauses of a type hold these, too."""
_LEADS = (
    "{} Number; type; figure.",
    "{} Give number; type; figure.",
    "Number; type; figure: {}",
    "Find it (number; type; figure): {}",
    "Question: {} Number, type, figure?",
    "Number, type, figure: {}",
    "Look up number; type; figure: {}",
    "{} (number; type; figure)",
    "{} State the number, the type and the figure.",
    "Our client asks: {} Number; type; figure.",
)
_MARKS = ("{}. ", "{}. ", "{}) ", "({}) ", "Cl. {}: ", "[{}] ")
_TWO = 0.6


def questions(types: Sequence[Texts], names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the clauses of all types."""
    bodies = cycle([(kind, body) for kind in types for body in kind.sections["clause"]], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, kind, body, types, names, rng)) for kind, body in chosen]


def _question(kind: Texts, body: str, types: Sequence[Texts], names: Names, rng: random.Random) -> Example:
    beside = [other for other in types if other.world in WORLDS[kind.world] and other is not kind]
    others = rng.sample(beside, 1 if rng.random() < _TWO else 2)
    world = kind.world if kind.world != "any" else next((o.world for o in others if o.world != "any"), "any")
    between = contract(world, names, rng)
    right = write(body, between, kind.side, rng)
    texts = [right.text] + [write(rng.choice(o.sections["clause"]), between, o.side, rng).text for o in others]
    rng.shuffle(texts)
    numbers = sorted(rng.sample(range(2, 48), len(texts)))
    mark = rng.choice(_MARKS)
    listed = "\n".join(f"{mark.format(number)}{text}" for number, text in zip(numbers, texts, strict=True))
    question = rng.choice(_LEADS).format(rng.choice(kind.sections["question"]))
    question = f"{question} Types: {choices([kind.name, *(other.name for other in others)], rng)}."
    answer = f"{numbers[texts.index(right.text)]}; {kind.name}; {right.figure}"
    return Example(asked(listed, question), answer, kind=KIND)
