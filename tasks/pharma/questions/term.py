"""Which pharmaceutical term a definition describes."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.pharma.tables import Text

KIND = "term"
INSTRUCTIONS = (
    "Which term fits?",
    "Name the term described.",
    "Give the pharmaceutical term.",
    "What is this called?",
)


def questions(texts: Sequence[Text], rng: random.Random) -> list[Example]:
    """One question for each definition."""
    return [
        Example(f"{rng.choice(INSTRUCTIONS)}\nDefinition: {text.text}\nAnswer:", text.answer, kind=KIND)
        for text in texts
    ]
