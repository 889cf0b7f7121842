"""What to suggest with an order: of three rules, the one whose item is in it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import Line, compact, home, line_of
from tasks.kfc.questions import order
from tasks.kfc.speech import lines_in_words, voice_in
from tasks.kfc.tables import City, Item, Upsell

KIND = "upsell"
RULES = (
    "{item} > {add} at {price}",
    "with {item} offer {add} for {price}",
    "{item}: {add}, Rs {price}",
    "{item} + {add} @ {price}",
    "if {item}, then {add} for Rs {price}",
    "{add} at {price} with {item}",
    "{item} -> {add} ({price})",
)
HEADS = ("Suggest:\n", "Upsell rules\n", "", "", "Add-ons today: ", "Pitch list: ", "Rules:\n", "Counter script:\n")
FIELDS = "[with, add, price]"
"""What the till asks for, on the last line of a message."""
LABELS = ("", "", "Customer: ", "Msg: ", "> ", "Order: ")


def question(
    menu: Mapping[str, Item], upsells: Sequence[Upsell], cities: Sequence[City], split: Split, rng: random.Random
) -> Example:
    """Three rules about three items, and an order with one of these and maybe something else."""
    right = rng.choice([rule for rule in upsells if home(rule.with_item, rule.add) == split])
    others = [rule for rule in upsells if rule.with_item != right.with_item and rule.add != right.add]
    shown = [right]
    while len(shown) < 3:
        rule = rng.choice(others)
        if rule.with_item not in {other.with_item for other in shown}:
            shown.append(rule)
    rng.shuffle(shown)
    named = {name for rule in shown for name in (rule.with_item, rule.add)}
    lines = [line_of(menu[right.with_item], rng)]
    if rng.random() < 0.5:
        lines.append(line_of(rng.choice([item for item in menu.values() if item.name not in named]), rng))
        rng.shuffle(lines)
    lines = [Line(line.item, line.quantity, line.size) for line in lines]
    wording, between = rng.choice(RULES), "\n" if rng.random() < 0.6 else "; "
    rules = between.join(wording.format(item=rule.with_item, add=rule.add, price=rule.price) for rule in shown)
    voice = voice_in(rng.choice(cities), rng)
    asked = f"{rng.choice(LABELS)}{order.message(lines_in_words(lines, voice, rng), voice, rng)}"
    answer = {"with": right.with_item, "add": right.add, "price": right.price}
    return Example(f"{rng.choice(HEADS)}{rules}\n{asked}\n{FIELDS}", compact(answer), kind=KIND)
