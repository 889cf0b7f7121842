"""Assigns medicines, definitions and situations to splits."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tasks.generation import SPLITS, Split
from tasks.pharma.tables import Medicine, Text

SHARES: Mapping[Split, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}


def divide_medicines(medicines: Sequence[Medicine], rng: random.Random) -> dict[Split, list[Medicine]]:
    """Assigns families of medicines, large ones first, to the split that is furthest below its share."""
    families = _families(medicines)
    rng.shuffle(families)
    families.sort(key=len, reverse=True)
    parts: dict[Split, list[Medicine]] = {split: [] for split in SPLITS}
    for family in families:
        lacking = max(SPLITS, key=lambda split: SHARES[split] * len(medicines) - len(parts[split]))
        parts[lacking] += family
    return parts


def divide_texts(texts: Sequence[Text], held_out: int, rng: random.Random) -> dict[Split, list[Text]]:
    """Assigns `held_out` texts of each answer to validation, as many to test, and the rest to train."""
    parts: dict[Split, list[Text]] = {split: [] for split in SPLITS}
    seen: Counter[str] = Counter()
    for text in rng.sample(texts, len(texts)):
        place = seen[text.answer] // held_out
        parts["validation" if place == 0 else "test" if place == 1 else "train"].append(text)
        seen[text.answer] += 1
    return parts


def _families(medicines: Sequence[Medicine]) -> list[list[Medicine]]:
    """Groups of medicines with related names, directly or through others."""
    families: list[list[Medicine]] = []
    for medicine in medicines:
        akin = [family for family in families if any(_akin(medicine.inn, other.inn) for other in family)]
        joined = [medicine, *(other for family in akin for other in family)]
        families = [family for family in families if family not in akin] + [joined]
    return families


def _akin(one: str, other: str) -> bool:
    """Returns whether two names share a word ("insulin"), or one contains a word of the other ("chloroquine")."""
    words, others = (re.findall(r"[a-z]+", name.lower()) for name in (one, other))
    return any(
        word == rival or (len(word) > 4 < len(rival) and (word in rival or rival in word))
        for word in words
        for rival in others
    )
