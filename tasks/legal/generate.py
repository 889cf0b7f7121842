"""Writes the data set: `python -m tasks.legal.generate` gives the same bytes each time."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tasks import generation
from tasks.example import Example
from tasks.generation import SPLITS, Made, Split
from tasks.legal import DATA, library
from tasks.legal.drawing import Drawer
from tasks.legal.parties import names
from tasks.legal.questions import cap, clause, find, notice, risk
from tasks.nearest import nearest_table

SEED = 1906
ROWS: Mapping[Split, Mapping[str, int]] = {
    "train": {clause.KIND: 760, notice.KIND: 460, find.KIND: 480, risk.KIND: 360, cap.KIND: 340},
    "validation": {clause.KIND: 110, notice.KIND: 72, find.KIND: 72, risk.KIND: 54, cap.KIND: 52},
    "test": {clause.KIND: 110, notice.KIND: 72, find.KIND: 72, risk.KIND: 54, cap.KIND: 52},
}


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled."""
    return {split: _of_split(split) for split in SPLITS}


def _of_split(split: Split) -> list[Example]:
    types = [library.part(texts, split, _chance("clauses", texts.name)) for texts in library.clauses()]
    exceptions = ("exception", "exception at sea", "exception ashore")
    caps = library.part(library.read("caps.txt"), split, _chance("caps"), shared=exceptions)
    risks = [
        library.part(library.read(name), split, _chance(name)) for name in ("risks_at_sea.txt", "risks_ashore.txt")
    ]
    known, count, drawer = names(split, _chance("names")), ROWS[split], Drawer()
    rows = clause.questions(types, known, count[clause.KIND], drawer, _chance(split, clause.KIND))
    rows += find.questions(types, known, count[find.KIND], drawer, _chance(split, find.KIND))
    rows += notice.questions(types, known, count[notice.KIND], drawer, _chance(split, notice.KIND))
    rows += risk.questions(risks, known, count[risk.KIND], drawer, _chance(split, risk.KIND))
    rows += cap.questions(caps, known, count[cap.KIND], drawer, _chance(split, cap.KIND))
    _chance(split, "order").shuffle(rows)
    return rows


def summary(made: Made) -> str:
    """The tables of the data card: rows per kind and split, and the frequency of each clause type."""
    names = [texts.name for texts in library.clauses()]
    lines = [generation.table(made), "", generation.cells("type in `clause`", *SPLITS), generation.cells(*["---"] * 4)]
    columns = [[row.completion.split(";")[0] for row in made[split] if row.kind == clause.KIND] for split in SPLITS]
    return "\n".join([*lines, *generation.counts(names, columns)])


def _chance(*purpose: str) -> random.Random:
    return generation.chance(SEED, *purpose)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), nearest_table("legal:fields_in_order", made["train"], made["test"]), sep="\n\n")
