"""General English prose that measures how much a fine-tuned model forgets; never used for training."""

from pathlib import Path

PARAGRAPHS = Path(__file__).with_name("paragraphs.txt")


def load() -> tuple[str, ...]:
    """The paragraphs, 60 to 100 words each, in a fixed order."""
    return tuple(PARAGRAPHS.read_text(encoding="utf-8").splitlines())
