"""Which document or register answers a request to the tender desk."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.pharma.questions import choosing
from tasks.pharma.tables import Text

KIND = "document"
INSTRUCTIONS = (
    "Which document answers this?",
    "Name the document to look in.",
    "Which source does the desk need?",
    "Pick the right document.",
)


def questions(texts: Sequence[Text], rng: random.Random) -> list[Example]:
    """One question for each situation."""
    return choosing.questions(texts, KIND, "Situation", INSTRUCTIONS, rng)
