"""Draws the rows of a kind: each body equally often, and no two rows alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tasks.example import Example
from tasks.near_duplicates import grams, jaccard

ALIKE = 0.42
"""Two prompts with a body in common share fewer of their word 3-grams than this (Jaccard)."""
_TRIES = 200
_Item = TypeVar("_Item")


class Alike(RuntimeError):
    """A body has too few wordings for the rows that are asked of it."""


class Drawer:
    """Keeps the prompts of a split by the bodies that they are made of."""

    def __init__(self) -> None:
        self._seen: dict[str, list[frozenset[str]]] = {}

    def draw(self, bodies: Sequence[str], make: Callable[[], Example]) -> Example:
        """The first of the examples made that is not like an earlier one with one of these bodies.

        Raises:
            Alike: there is none in many tries.
        """
        for _ in range(_TRIES):
            example = make()
            own = grams(example.prompt)
            if all(jaccard(own, other) < ALIKE for body in bodies for other in self._seen.get(body, ())):
                for body in bodies:
                    self._seen.setdefault(body, []).append(own)
                return example
        raise Alike(f"too few different rows with: {bodies}")


def cycle(items: Sequence[_Item], rng: random.Random) -> Iterator[_Item]:
    """The items in random order, each once before any comes again."""
    while True:
        yield from rng.sample(items, len(items))
