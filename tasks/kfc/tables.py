"""The tables of the chain: menu, price book, cities, offers and upsell rules, each a CSV file of this folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the menu.

    Attributes:
        diet: "veg" or "non-veg"; egg is non-veg, as on Indian labels.
        part: of a meal: main, snack, side, combo, drink or sweet.
        allergens: what it contains of those that the chain lists.
        spoken: how customers write it, beside its name.
        sizes: none if there is one size only.
    """

    name: str
    diet: str
    part: str
    allergens: tuple[str, ...]
    spoken: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class City:
    """A city with its price tier, the language that is mixed into messages there, and how customers call the staff."""

    name: str
    tier: str
    language: str
    called: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that holds on some weekdays in some cities."""

    code: str
    days: tuple[str, ...]
    cities: tuple[str, ...]
    gives: str


@dataclass(frozen=True, slots=True)
class Upsell:
    """What the chain suggests to whoever orders an item, with its extra price in rupees."""

    with_item: str
    add: str
    price: int


def menu() -> dict[str, Item]:
    """The items by name."""
    sizes: dict[str, list[str]] = {}
    for row in _rows("price_book.csv"):
        sizes.setdefault(row["item"], []).extend([row["size"]] if row["size"] else [])
    return {
        row["item"]: Item(
            row["item"],
            row["diet"],
            row["part"],
            tuple(allergen for allergen in _listed(row["allergens"]) if allergen != "none"),
            _listed(row["spoken"]),
            tuple(sizes[row["item"]]),
        )
        for row in _rows("menu.csv")
    }


def prices() -> Mapping[tuple[str, str | None, str], int]:
    """Rupees by item, size (None if there is one only) and tier of the city."""
    return {
        (row["item"], row["size"] or None, tier): int(row[tier])
        for row in _rows("price_book.csv")
        for tier in ("metro", "city", "town")
    }


def cities() -> list[City]:
    """The cities, in the order of the table."""
    return [City(row["city"], row["tier"], row["language"], _listed(row["called"])) for row in _rows("cities.csv")]


def offers() -> list[Offer]:
    """The offers, in the order of the table."""
    return [
        Offer(row["code"], _listed(row["days"]), _listed(row["cities"]), row["gives"]) for row in _rows("offers.csv")
    ]


def upsells() -> list[Upsell]:
    """The upsell rules, in the order of the table."""
    return [Upsell(row["with"], row["add"], int(row["price"])) for row in _rows("upsells.csv")]


def _rows(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(cell.split("; "))
