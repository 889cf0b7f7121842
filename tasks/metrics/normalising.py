"""When two texts count as equal, and F1: what the metrics share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def folded(text: str) -> str:
    """Folds case and normalizes accents (Unicode 3.13, canonical caseless matching)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def normalise(text: str) -> str:
    """Removes differences in case, white space and a trailing period."""
    spaced = " ".join(folded(text).split())
    return spaced.removesuffix(".").rstrip()


def alike(texts: Iterable[str]) -> list[list[str]]:
    """The texts that are equal after `normalise` without being equal, in groups."""
    written: dict[str, list[str]] = {}
    for text in texts:
        written.setdefault(normalise(text), []).append(text)
    return [ways for ways in written.values() if len(ways) > 1]


def f1(shared: int, predicted: int, wanted: int) -> float:
    """F1 = 2PR / (P + R) = 2 shared / (predicted + wanted); 1.0 if both are empty."""
    return 2 * shared / (predicted + wanted) if predicted + wanted else 1.0
