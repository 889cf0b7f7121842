"""How a clause and what is asked about it stand in a prompt."""

from __future__ import annotations

import random

_NUMBERS = ("{}.", "{})", "{}.1", "{}.2", "{}.3", "Clause {}.", "Cl. {}:", "Art. {} -", "({})", "Section {}:")
_NUMBERED = 0.5
_FIRST = 0.35


def numbered(text: str, rng: random.Random) -> str:
    """The clause, behind a number as often as not."""
    if rng.random() >= _NUMBERED:
        return text
    return f"{rng.choice(_NUMBERS).format(rng.randint(2, 58))} {text}"


def asked(text: str, question: str, rng: random.Random) -> str:
    """The question behind the text, or before it."""
    return f"{question}\n{text}" if rng.random() < _FIRST else f"{text}\n{question}"
