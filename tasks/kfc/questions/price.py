"""An order with the lines of the price book that hold in the customer's city: each item with its price for one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import Line, compact, draw
from tasks.kfc.questions import order
from tasks.kfc.speech import lines_in_words, typed, voice_in
from tasks.kfc.tables import City, Item

KIND = "price"
Prices = Mapping[tuple[str, str | None, str], int]
HEADS = (
    "{city} rates: {card}",
    "Price book, {city}: {card}",
    "{city} outlet\n{card}",
    "Rate card {city} - {card}",
    "{card} ({city})",
    "Today in {city}: {card}",
    "{city}\n{card}",
    "Rates for {city}, all in Rs: {card}",
)
LINES = (
    "{item} {price}",
    "{item} Rs {price}",
    "{item} @ {price}",
    "{item} = {price}",
    "{item}: {price}",
    "{item} {price}/-",
)
BETWEEN = (", ", "; ", " | ", "\n", " / ")
ASKS = (
    (
        "how much for {items}?",
        "price of {items} please",
        "what will {items} cost?",
        "bill for {items}",
        "{items}, what is the rate?",
        "rate of {items}?",
        "tell me the price for {items}",
        "{items} for how much?",
        "I need {items}, cost?",
    ),
    (
        "{items} kitne ka hai?",
        "{items} ka rate bolo",
        "{items} kitne ka padega?",
        "{items} ka bill banao",
        "{call} {items} ka kya rate hai",
        "{items} kitna hoga?",
        "kitne ka milega {items}?",
        "{items} ka price batao {call}",
        "{items} lena hai, kitne paise?",
    ),
)
FIELDS = "[items, price]"
"""What the till asks for, on the last line of a message."""
LABELS = ("", "", "Customer: ", "Msg: ", "Chat: ", "> ")


def question(
    menu: Mapping[str, Item], prices: Prices, cities: Sequence[City], split: Split, rng: random.Random
) -> Example:
    """A rate card of three or four lines, and a message for one or two of them."""
    city = rng.choice(cities)
    voice = voice_in(city, rng)
    lines = draw(menu, rng.choice((1, 1, 2)), rng, split=split)
    # what is priced by size needs one
    lines = [Line(line.item, line.quantity, rng.choice(line.item.sizes) if line.item.sizes else None) for line in lines]
    ordered = [(line.item.name, line.size) for line in lines]
    others = [(item.name, size) for item in menu.values() for size in item.sizes or (None,)]
    near = [pair for pair in others if pair[0] in dict(ordered) and pair not in ordered]
    card = [*ordered, *rng.sample(near, min(len(near), rng.choice((0, 1))))]
    missing = max(1, rng.choice((3, 3, 4)) - len(card))
    card += rng.sample([pair for pair in others if pair[0] not in dict(ordered)], missing)
    rng.shuffle(card)
    shown = rng.choice(LINES)
    text = rng.choice(BETWEEN).join(
        shown.format(item=" ".join(filter(None, pair)), price=prices[*pair, city.tier]) for pair in card
    )
    items = lines_in_words(lines, voice, rng)
    if rng.random() < 0.7:
        asked = typed(voice.of(*ASKS, rng).format(items=items, call=rng.choice(city.called)), rng)
    else:
        asked = order.message(items, voice, rng)
    head = rng.choice(HEADS).format(city=city.name, card=text)
    answer = [line.as_json() | {"price": prices[line.item.name, line.size, city.tier]} for line in lines]
    return Example(f"{head}\n{rng.choice(LABELS)}{asked}\n{FIELDS}", compact({"items": answer}), kind=KIND)
