"""Writes the data set: `python -m tasks.medical.generate` gives the same bytes each time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tasks import generation
from tasks.example import Example
from tasks.generation import SPLITS, Made, Split
from tasks.medical import DATA, tables
from tasks.medical.kinds import differential, jobs, one_liner, redflag, vitals
from tasks.medical.notes import ID
from tasks.medical.tables import Condition
from tasks.nearest import nearest_table

SEED = 20275
ROWS: Mapping[str, Mapping[Split, int]] = {
    one_liner.KIND: {"train": 720, "validation": 150, "test": 150},
    differential.KIND: {"train": 540, "validation": 120, "test": 120},
    vitals.KIND: {"train": 600, "validation": 120, "test": 120},
    redflag.KIND: {"train": 480, "validation": 105, "test": 105},
    jobs.KIND: {"train": 480, "validation": 105, "test": 105},
}
HELD_OUT = 3
"""Presentations of validation, and as many of test."""

Question = Callable[[Condition, Sequence[Condition], random.Random], Example]
_QUESTIONS: Mapping[str, Question] = {
    one_liner.KIND: lambda condition, group, rng: one_liner.question(condition, rng),
    differential.KIND: differential.question,
    vitals.KIND: lambda condition, group, rng: vitals.question(condition, rng),
    redflag.KIND: redflag.question,
    jobs.KIND: lambda condition, group, rng: jobs.question(condition, rng),
}


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled; the conditions of a split take turns. Each note has a patient of its own."""
    own = divided(tables.conditions())
    numbers = iter(_chance("patients").sample(range(1, 10_000), sum(sum(rows.values()) for rows in ROWS.values())))
    made: dict[Split, list[Example]] = {}
    for split in SPLITS:
        rows = [row for kind in ROWS for row in _of_kind(kind, own[split], ROWS[kind][split], _chance(split, kind))]
        _chance(split, "order").shuffle(rows)
        made[split] = [replace(row, prompt=row.prompt.replace(ID, f"SYN-{next(numbers):04d}")) for row in rows]
    return made


def divided(conditions: Sequence[Condition]) -> dict[Split, list[Condition]]:
    """The conditions of each split: whole presentations, so that no differential spans two."""
    groups = tables.of_presentation(conditions)
    names = sorted(groups)
    _chance("presentations").shuffle(names)
    parts = {
        "validation": names[:HELD_OUT],
        "test": names[HELD_OUT : 2 * HELD_OUT],
        "train": names[2 * HELD_OUT :],
    }
    return {split: [one for name in sorted(parts[split]) for one in groups[name]] for split in SPLITS}


def summary(made: Made) -> str:
    """The tables of the data card: rows per kind and split, and which presentations are in which split."""
    own = divided(tables.conditions())
    lines = [generation.table(made), "", generation.cells("split", "conditions", "presentations")]
    lines.append(generation.cells(*["---"] * 3))
    for split in SPLITS:
        counted = Counter(one.presentation for one in own[split])
        lines.append(generation.cells(split, str(counted.total()), ", ".join(counted)))
    return "\n".join(lines)


def _of_kind(kind: str, conditions: Sequence[Condition], count: int, rng: random.Random) -> list[Example]:
    groups = tables.of_presentation(conditions)
    made: dict[str, Example] = {}
    while len(made) < count:
        condition = conditions[len(made) % len(conditions)]
        example = _QUESTIONS[kind](condition, groups[condition.presentation], rng)
        made.setdefault(example.prompt, example)
    return list(made.values())


def _chance(*purpose: str) -> random.Random:
    return generation.chance(SEED, *purpose)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), nearest_table("medical:note_score", made["train"], made["test"]), sep="\n\n")
