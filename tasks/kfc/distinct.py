"""Keeps rows apart that differ in a few words only."""

from __future__ import annotations

from tasks.near_duplicates import grams

ALIKE = 0.5
"""Share of common word triples (Jaccard) from which two texts are nearly the same."""


class Distinct:
    """The texts so far, by their word triples."""

    def __init__(self) -> None:
        self._texts: list[frozenset[str]] = []
        self._with: dict[str, list[int]] = {}

    def is_new(self, text: str) -> bool:
        """Whether a text is unlike all before; if so, it is one of them from here on."""
        triples = grams(text)
        shared: dict[int, int] = {}
        for triple in triples:
            for other in self._with.get(triple, ()):
                shared[other] = shared.get(other, 0) + 1
        if any(both >= ALIKE * (len(triples) + len(self._texts[other]) - both) for other, both in shared.items()):
            return False
        for triple in triples:
            self._with.setdefault(triple, []).append(len(self._texts))
        self._texts.append(triples)
        return True
