"""General English that measures how much a fine-tuned model forgets, prose and questions; never used for training.

Text that is: `tasks.general.replay`.
"""

import json
from pathlib import Path

from tasks.example import Example

PARAGRAPHS = Path(__file__).with_name("paragraphs.txt")
QUESTIONS = Path(__file__).with_name("questions.jsonl")
KINDS = 8
"""Of questions."""


def load() -> tuple[str, ...]:
    """The paragraphs, 60 to 100 words each, in a fixed order."""
    return tuple(PARAGRAPHS.read_text(encoding="utf-8").splitlines())


def questions() -> tuple[Example, ...]:
    """The questions, each with an answer of one word that is the answer of no other; six of a kind, with the kinds in turn."""
    rows = [Example(**json.loads(line)) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    size = len(rows) // KINDS
    return tuple(rows[start + place] for place in range(size) for start in range(0, len(rows), size))
