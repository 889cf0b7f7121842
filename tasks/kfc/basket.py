"""Orders: their lines, how they are drawn, and their JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.generation import Split
from tasks.kfc.tables import Item
from tasks.splits import place

SHARES: Mapping[Split, float] = {"train": 0.72, "validation": 0.86, "test": 1.0}
QUANTITIES = (1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6)
WITHOUT: Mapping[str, Sequence[str]] = {
    "burger": ("mayo", "onion", "cheese"),
    "roll": ("mayo", "onion"),
    "bowl": ("onion", "raita"),
    "soda": ("ice", "sugar"),
    "lassi": ("ice", "sugar"),
    "coffee": ("ice", "sugar"),
    "cola": ("ice",),
}
"""What customers ask to leave out, by the last word of an item."""
_PARTS = ("main", "snack", "side", "combo", "drink", "sweet")
_MEALS = ("main", "snack", "combo")
_SIDES = ("snack", "side", "drink", "sweet", "main")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order.

    Attributes:
        size: None if the item has one size only, or the customer does not name it.
        without: what is to be left out.
    """

    item: Item
    quantity: int
    size: str | None = None
    without: str | None = None

    def as_json(self) -> dict[str, str | int]:
        """The line as the kitchen reads it; what was not said is left out."""
        said: dict[str, str | int | None] = {
            "item": self.item.name,
            "size": self.size,
            "qty": self.quantity,
            "no": self.without,
        }
        return {key: value for key, value in said.items() if value is not None}


def compact(value: object) -> str:
    """JSON on one line, without spaces between its parts."""
    return json.dumps(value, separators=(",", ":"))


def order_json(lines: Sequence[Line], mode: str | None = None) -> str:
    """An order as the kitchen reads it."""
    return compact({"items": [line.as_json() for line in lines]} | ({"for": mode} if mode else {}))


def home(*names: str) -> Split:
    """The split that a set of names belongs to, whatever their order: what is drawn together in one split is in no other."""
    where = place("; ".join(sorted(names)), salt="kfc")
    return next(split for split, share in SHARES.items() if where < share)


def draw(menu: Mapping[str, Item], count: int, rng: random.Random, *, split: Split | None = None) -> list[Line]:
    """An order of `count` different items: something to eat first, then what people take with it; a third of the customers is vegetarian.

    Args:
        split: the split that the items together must belong to; None for any.
    """
    while True:
        items = [item for item in menu.values() if item.diet == "veg"] if rng.random() < 0.33 else list(menu.values())
        first = _MEALS if count > 1 else _PARTS
        chosen = [rng.choice([item for item in items if item.part in first])]
        while len(chosen) < count:
            part = rng.choice(_SIDES)
            chosen.append(rng.choice([item for item in items if item.part == part]))
        names = [item.name for item in chosen]
        if len(set(names)) == count and split in (None, home(*names)):
            return [line_of(item, rng) for item in chosen]


def line_of(item: Item, rng: random.Random) -> Line:
    """A line for an item; usually with its size."""
    size = rng.choice(item.sizes) if item.sizes and rng.random() < 0.88 else None
    left_out = WITHOUT.get(item.name.split()[-1], ())
    without = rng.choice(left_out) if left_out and rng.random() < 0.3 else None
    return Line(item, rng.choice(QUANTITIES), size, without)
