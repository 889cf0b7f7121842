"""Questions whose answer is one of three names in the prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.pharma.tables import Text

CHOICES = 3


def questions(
    texts: Sequence[Text], kind: str, head: str, instructions: Sequence[str], rng: random.Random
) -> list[Example]:
    """One question for each text: the right name and others of the same table, in random order.

    Args:
        head: what stands before the text, for example `Situation`.
    """
    names = sorted({text.answer for text in texts})
    made: list[Example] = []
    for text in texts:
        others = rng.sample([name for name in names if name != text.answer], CHOICES - 1)
        choices = rng.sample([text.answer, *others], CHOICES)
        prompt = f"{rng.choice(instructions)}\n{head}: {text.text}\nChoices: {'; '.join(choices)}\nAnswer:"
        made.append(Example(prompt, text.answer, kind=kind))
    return made
