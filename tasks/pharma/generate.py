"""Writes the data set: `python -m tasks.pharma.generate` gives the same bytes each time."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.example import Example
from tasks.pharma import DATA, tables
from tasks.pharma.questions import bid, document, indication, normalise, term
from tasks.pharma.splits import SPLITS, Split, divide_medicines, divide_texts

SEED = 20260
ROWS: Mapping[Split, int] = {"train": 5000, "validation": 1100, "test": 1100}
KINDS = (normalise.KIND, indication.KIND, bid.KIND, document.KIND, term.KIND)
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


def encoded(rows: Sequence[Example]) -> bytes:
    """The rows as the content of a file."""
    lines = (json.dumps({"prompt": row.prompt, "completion": row.completion, "kind": row.kind}) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def write(folder: Path) -> dict[Split, list[Example]]:
    """Writes one file per split."""
    folder.mkdir(parents=True, exist_ok=True)
    made = examples()
    for split, rows in made.items():
        (folder / f"{split}.jsonl").write_bytes(encoded(rows))
    return made


def summary(made: Mapping[Split, Sequence[Example]]) -> str:
    """The tables of the data card: rows per kind and split, and the frequency of each closed answer."""
    columns = [[str(row.kind) for row in made[split]] for split in SPLITS]
    lines = [_line("kind", *SPLITS), _line(*["---"] * 4)]
    lines += _counts(KINDS, columns)
    lines.append(_line("all", *(str(len(made[split])) for split in SPLITS)))
    lines.append(_line("mean words in a prompt", *(f"{_mean_words(made[split]):.1f}" for split in SPLITS)))
    lines += ["", _line("answer", *SPLITS), _line(*["---"] * 4)]
    for kind, answers in (
        (indication.KIND, indication.LABELS),
        (bid.KIND, ("bid", *(f"no bid; {code}" for code in bid.CODES))),
    ):
        lines += _counts(answers, [[row.completion for row in made[split] if row.kind == kind] for split in SPLITS])
    return "\n".join(lines)


def _counts(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    counted = [Counter(column) for column in columns]
    return [_line(name, *(f"{count[name]} ({count[name] / count.total():.1%})" for count in counted)) for name in names]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _mean_words(rows: Sequence[Example]) -> float:
    return sum(len(row.prompt.split()) for row in rows) / len(rows)


def _chance(*purpose: str) -> random.Random:
    """A separate random generator for each purpose, so that one change does not reshuffle the rest."""
    return random.Random(f"{SEED}/{'/'.join(purpose)}")


if __name__ == "__main__":
    print(summary(write(DATA)))
