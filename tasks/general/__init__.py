"""General English prose for measuring what a fine-tuned model forgets; never trained on."""

from pathlib import Path

PARAGRAPHS = Path(__file__).with_name("paragraphs.txt")


def load() -> tuple[str, ...]:
    """The paragraphs, 60 to 100 words each, in a fixed order."""
    return tuple(PARAGRAPHS.read_text(encoding="utf-8").splitlines())
