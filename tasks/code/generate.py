"""Writes the data set and its checks: `python -m tasks.code.generate` gives the same bytes each time."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping, Sequence

from tasks import generation
from tasks.code import CHECKS, DATA
from tasks.code.rows import Row
from tasks.code.snippets import body, error, hook, query, redirect, route
from tasks.code.words import NOUNS
from tasks.example import Example
from tasks.execution import Check, write_checks
from tasks.generation import SPLITS, Made, Split

SEED = 20261
EACH: Mapping[Split, int] = {"train": 400, "validation": 50, "test": 50}
"""Rows of each kind."""
ALIKE = 0.6
"""The share of runs of three words that two instructions may have in common (Jaccard)."""
SHARES: Mapping[Split, float] = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""Of the nouns."""

_KINDS: Mapping[str, Callable[[Sequence[str], random.Random], Row]] = {
    module.KIND: module.make for module in (body, error, hook, query, redirect, route)
}


@functools.cache
def rows() -> dict[Split, list[Row]]:
    """All rows with their checks, shuffled: no noun is in two splits, and no two instructions are nearly the same.

    They are made once in a process.
    """
    own = _divided()
    known: dict[str, list[frozenset[str]]] = {}
    made: dict[Split, list[Row]] = {}
    for split in SPLITS:
        made[split] = [
            row
            for kind, make in _KINDS.items()
            for row in _different(make, own[split], EACH[split], known, generation.chance(SEED, split, kind))
        ]
        generation.chance(SEED, split, "order").shuffle(made[split])
    return made


def examples() -> dict[Split, list[Example]]:
    """The examples of all rows."""
    return _examples(rows())


def checks(made: Mapping[Split, Sequence[Row]]) -> dict[str, tuple[Check, ...]]:
    """The checks of validation and test by their example's key; no answer to a training example is ever scored."""
    return {row.example.key: row.checks for split in SPLITS if split != "train" for row in made[split]}


def summary(made: Made) -> str:
    """The table of the data card: rows per kind and split."""
    return generation.table(made)


def _examples(made: Mapping[Split, Sequence[Row]]) -> dict[Split, list[Example]]:
    return {split: [row.example for row in made[split]] for split in SPLITS}


def _divided() -> dict[Split, list[str]]:
    nouns = list(NOUNS)
    generation.chance(SEED, "nouns").shuffle(nouns)
    first = round(SHARES["train"] * len(nouns))
    second = first + round(SHARES["validation"] * len(nouns))
    return {"train": nouns[:first], "validation": nouns[first:second], "test": nouns[second:]}


def _different(
    make: Callable[[Sequence[str], random.Random], Row],
    nouns: Sequence[str],
    count: int,
    known: dict[str, list[frozenset[str]]],
    rng: random.Random,
) -> list[Row]:
    """`count` rows whose instructions are not like a known one, with case and punctuation ignored.

    Args:
        known: by three words in a row, those of the instructions that have them.
    """
    found: list[Row] = []
    while len(found) < count:
        row = make(nouns, rng)
        words = re.findall(r"\w+", row.example.prompt.lower())
        triples = frozenset(" ".join(words[place : place + 3]) for place in range(max(1, len(words) - 2)))
        related = {other for triple in triples for other in known.get(triple, ())}
        if all(len(triples & other) < ALIKE * len(triples | other) for other in related):
            for triple in triples:
                known.setdefault(triple, []).append(triples)
            found.append(row)
    return found


if __name__ == "__main__":
    from tasks.nearest import nearest_table

    everything = rows()
    made = _examples(everything)
    generation.write(made, DATA)
    write_checks(CHECKS, checks(everything))
    print(summary(made), nearest_table("code:execution", made["train"], made["test"]), sep="\n\n")
