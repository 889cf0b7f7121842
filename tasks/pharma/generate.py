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

SEED = 20260
ROWS: Mapping[Split, int] = {"train": 5000, "validation": 1100, "test": 1100}
SITUATIONS_HELD_OUT = 4
DEFINITIONS_HELD_OUT = 2
BIDS: Mapping[Split, int] = {"train": 400, "validation": 80, "test": 80}
INDICATIONS: Mapping[Split, int] = {"train": 400, "validation": 80, "test": 80}


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled: each situation and definition once, and `normalise` questions for the remaining rows."""
    medicines, terms, documents = tables.medicines(), tables.terms(), tables.documents()
    every_inn = [medicine.inn for medicine in medicines]
    own = divide_medicines(medicines, _chance("medicines"))
    definitions = divide_texts(terms, DEFINITIONS_HELD_OUT, _chance("definitions"))
    situations = divide_texts(documents, SITUATIONS_HELD_OUT, _chance("situations"))
    made: dict[Split, list[Example]] = {}
    for split in SPLITS:
        rows = term.questions(definitions[split], _chance(split, term.KIND))
        rows += document.questions(situations[split], _chance(split, document.KIND))
        rows += bid.questions(own[split], BIDS[split], _chance(split, bid.KIND))
        rows += indication.questions(own[split], every_inn, INDICATIONS[split], _chance(split, indication.KIND))
        rows += normalise.questions(own[split], ROWS[split] - len(rows), _chance(split, normalise.KIND))
        _chance(split, "order").shuffle(rows)
        made[split] = rows
    return made


def summary(made: Made) -> str:
    """The tables of the data card: rows per kind and split, and the frequency of each closed answer."""
    lines = [generation.table(made), "", generation.cells("answer", *SPLITS), generation.cells(*["---"] * 4)]
    for kind, answers in (
        (indication.KIND, indication.LABELS),
        (bid.KIND, ("bid", *(f"no bid; {code}" for code in bid.CODES))),
    ):
        columns = [[row.completion for row in made[split] if row.kind == kind] for split in SPLITS]
        lines += generation.counts(answers, columns)
    return "\n".join(lines)


def _chance(*purpose: str) -> random.Random:
    return generation.chance(SEED, *purpose)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), nearest_table("set_f1", made["train"], made["test"]), sep="\n\n")
