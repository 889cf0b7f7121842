"""The parties of a contract: roles, which all splits share, and made-up names, which are divided over the splits."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.generation import Split
from tasks.legal.library import FOLDER, divide

SEA = (
    ("Owners", "Charterers"),
    ("Disponent Owners", "Sub-Charterers"),
    ("Shipowner", "Charterer"),
    ("Registered Owners", "Time Charterers"),
    ("Carrier", "Merchant"),
    ("Carrier", "Shipper"),
    ("Head Owners", "Voyage Charterers"),
    ("Shipowners", "Freighters"),
)
GOODS = (
    ("Seller", "Buyer"),
    ("Supplier", "Customer"),
    ("Vendor", "Purchaser"),
    ("Manufacturer", "Distributor"),
    ("Producer", "Wholesaler"),
    ("Exporter", "Importer"),
    ("Supplier", "Retailer"),
    ("Sellers", "Buyers"),
)
SERVICES = (
    ("Contractor", "Employer"),
    ("Consultant", "Client"),
    ("Lessor", "Lessee"),
    ("Service Provider", "Customer"),
    ("Licensor", "Licensee"),
    ("Warehouse Keeper", "Depositor"),
    ("Haulier", "Consignor"),
    ("Agency", "Principal"),
)
DEALS: Mapping[str, tuple[str, ...]] = {
    "sea": ("this Charter Party", "this Charter"),
    "goods": ("this Contract", "this Agreement"),
    "land": ("this Agreement", "this Contract"),
}
_NAMED = 0.3


@dataclass(frozen=True, slots=True)
class Party:
    """A party as the text writes it and as answers do.

    Attributes:
        answer: without article.
        article: `the `, or nothing.
    """

    answer: str
    article: str
    plural: bool

    @property
    def text(self) -> str:
        return f"{self.article}{self.answer}"

    @property
    def possessive(self) -> str:
        return f"{self.text}'" if self.text.endswith("s") else f"{self.text}'s"


@dataclass(frozen=True, slots=True)
class Contract:
    """What the clauses of one prompt share: its world, both parties, what they call the contract and the ship or the goods."""

    world: str
    first: Party
    second: Party
    deal: str
    ship: str
    goods: str

    def sides(self, side: str, rng: random.Random) -> tuple[Party, Party]:
        """The parties that are `{A}` and `{B}`."""
        swapped = side == "second" or (side == "either" and rng.random() < 0.5)
        return (self.second, self.first) if swapped else (self.first, self.second)

    def ordered(self, first: Party, second: Party) -> Contract:
        """The contract with its parties in this order."""
        return replace(self, first=first, second=second)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one split: of shipping companies, of traders who charter ships, and of other firms."""

    ships: tuple[str, ...]
    traders: tuple[str, ...]
    firms: tuple[str, ...]


def names(split: Split, rng: random.Random) -> Names:
    """The names of a split.

    Args:
        rng: the same state for each split.
    """
    with (FOLDER / "names.csv").open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))

    def of_side(side: str) -> tuple[str, ...]:
        return tuple(divide([row["name"] for row in rows if row["side"] == side], rng)[split])

    return Names(of_side("ship"), of_side("trade"), of_side("firm"))


def contract(world: str, names: Names, rng: random.Random) -> Contract:
    """A contract of a world; one for `any` world is a charter party as often as not."""
    if world == "any":
        world = rng.choice(("sea", "land"))
    first, second = _parties(world, names, rng)
    return Contract(
        world,
        first,
        second,
        deal=rng.choice(DEALS[world]),
        ship=rng.choice(("the Vessel", "the vessel", "the ship")),
        goods=rng.choice(("the Goods", "the Products", "the Machines", "the Materials", "the Components")),
    )


def _parties(world: str, names: Names, rng: random.Random) -> Sequence[Party]:
    if rng.random() < _NAMED:
        pair = (
            (rng.choice(names.ships), rng.choice(names.traders))
            if world == "sea"
            else tuple(rng.sample(names.firms, 2))
        )
        return [Party(name, "", plural=False) for name in pair]
    roles = rng.choice({"sea": SEA, "goods": GOODS, "land": GOODS + SERVICES}[world])
    article = "" if roles[0].endswith("s") and rng.random() < 0.5 else "the "
    return [Party(role, article, plural=role.endswith("s")) for role in roles]
