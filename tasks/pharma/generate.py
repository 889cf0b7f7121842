"""Writes the data set: `python -m tasks.pharma.generate` gives the same bytes each time."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tasks import generation
from tasks.example import Example
from tasks.generation import SPLITS, Made, Split
from tasks.nearest import nearest_table
from tasks.pharma import DATA, tables
from tasks.pharma.questions import bid, document, indication, normalise, term
from tasks.pharma.splits import divide_medicines, divide_texts

SEED = 20261
ROWS: Mapping[Split, int] = {"train": 600, "validation": 120, "test": 120}
"""The rows of each kind."""
SITUATIONS_HELD_OUT = 4
DEFINITIONS_HELD_OUT = 2


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled, as many of each kind."""
    medicines, terms, documents, keywords = tables.medicines(), tables.terms(), tables.documents(), tables.keywords()
    every_inn = [medicine.inn for medicine in medicines]
    own = divide_medicines(medicines, _chance("medicines"))
    definitions = divide_texts(terms, DEFINITIONS_HELD_OUT, _chance("definitions"))
    situations = divide_texts(documents, SITUATIONS_HELD_OUT, _chance("situations"))
    made: dict[Split, list[Example]] = {}
    for split in SPLITS:
        count = ROWS[split]
        rows = term.questions(definitions[split], keywords, count, _chance(split, term.KIND))
        rows += document.questions(situations[split], keywords, count, _chance(split, document.KIND))
        rows += bid.questions(own[split], count, _chance(split, bid.KIND))
        rows += indication.questions(own[split], every_inn, count, _chance(split, indication.KIND))
        rows += normalise.questions(own[split], count, _chance(split, normalise.KIND))
        _chance(split, "order").shuffle(rows)
        made[split] = rows
    return made


def summary(made: Made) -> str:
    """The tables of the data card: rows per kind and split, and how often the closed parts of answers occur."""
    lines = [generation.table(made), "", generation.cells("answer", *SPLITS), generation.cells(*["---"] * 4)]
    for kind, ends in ((indication.KIND, indication.LABELS), (bid.KIND, bid.DECISIONS)):
        columns = [[row.completion.split("; ")[-1] for row in made[split] if row.kind == kind] for split in SPLITS]
        lines += generation.counts(ends, columns)
    return "\n".join(lines)


def _chance(*purpose: str) -> random.Random:
    return generation.chance(SEED, *purpose)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), nearest_table("set_f1", made["train"], made["test"]), sep="\n\n")
