"""What stands in a prompt besides clauses: the question, and the types to choose from.

The question is the last line: a small model learns a format sooner from what it has just read. A clause alone has no number, which would be
taken for that of a `find` answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def asked(text: str, question: str) -> str:
    """The text, and the question below it."""
    return f"{text}\n{question}"


def choices(names: Sequence[str], rng: random.Random) -> str:
    """Types to choose from, in random order: `lien, laytime or warranty`."""
    *first, last = rng.sample(names, len(names))
    return f"{', '.join(first)} or {last}"
