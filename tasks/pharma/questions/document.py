"""Which document or register answers what a tender desk has been asked."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
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
    return [
        Example(f"{rng.choice(INSTRUCTIONS)}\nSituation: {text.text}\nAnswer:", text.answer, kind=KIND)
        for text in texts
    ]
