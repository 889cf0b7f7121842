"""Which pharmaceutical term a definition describes."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.pharma.questions import choosing
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
    return choosing.questions(texts, KIND, "Definition", INSTRUCTIONS, rng)
