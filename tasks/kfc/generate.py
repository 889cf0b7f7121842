"""Writes the data set: `python -m tasks.kfc.generate` gives the same bytes each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tasks import generation
from tasks.example import Example
from tasks.generation import SPLITS, Made, Split
from tasks.kfc import DATA, tables
from tasks.kfc.distinct import Distinct
from tasks.kfc.questions import change, diet, offer, order, price, upsell
from tasks.nearest import nearest_table

SEED = 20261
ROWS: Mapping[str, tuple[int, int, int]] = {
    order.KIND: (840, 120, 120),
    change.KIND: (660, 100, 100),
    price.KIND: (480, 80, 80),
    offer.KIND: (360, 50, 50),
    diet.KIND: (360, 50, 50),
    upsell.KIND: (300, 50, 50),
}
"""Rows of each kind in train, validation and test."""


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled; no two are nearly the same, in one split or across."""
    draws = _draws()
    distinct = Distinct()
    made: dict[Split, list[Example]] = {}
    for place, split in enumerate(SPLITS):
        rows: list[Example] = []
        for kind, counts in ROWS.items():
            rng, wanted = generation.chance(SEED, split, kind), len(rows) + counts[place]
            while len(rows) < wanted:
                row = draws[kind](split, rng)
                if distinct.is_new(row.asked):
                    rows.append(row)
        generation.chance(SEED, split, "order").shuffle(rows)
        made[split] = rows
    return made


def _draws() -> dict[str, Callable[[Split, random.Random], Example]]:
    menu, prices, cities = tables.menu(), tables.prices(), tables.cities()
    offers, upsells = tables.offers(), tables.upsells()
    return {
        order.KIND: lambda split, rng: order.question(menu, cities, split, rng),
        change.KIND: lambda split, rng: change.question(menu, cities, split, rng),
        price.KIND: lambda split, rng: price.question(menu, prices, cities, split, rng),
        offer.KIND: lambda split, rng: offer.question(offers, cities, split, rng),
        diet.KIND: lambda split, rng: diet.question(menu, cities, split, rng),
        upsell.KIND: lambda split, rng: upsell.question(menu, upsells, cities, split, rng),
    }


def summary(made: Made) -> str:
    """The table of the data card: rows per kind and split."""
    return generation.table(made)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), nearest_table("json_f1", made["train"], made["test"]), sep="\n\n")
