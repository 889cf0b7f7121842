"""Which offer holds in the customer's city today: of three, one does, or none; the others hold on another day or elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import compact, home
from tasks.kfc.speech import typed, voice_in
from tasks.kfc.tables import City, Offer

KIND = "offer"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LINES = (
    "{code}: {days}, {cities}: {gives}",
    "{code} ({cities}, {days}) {gives}",
    "{gives} with {code}, {days} in {cities}",
    "{days} {cities} {code} - {gives}",
    "{cities} | {days} | {code} | {gives}",
    "{code} = {gives} [{days}; {cities}]",
)
ASKS = (
    (
        "any offer in {city} today? It is {day}",
        "it's {day}, which code works in {city}?",
        "{city} here. {day} offer please",
        "which coupon for {city} on {day}?",
        "ordering on {day} from {city}, any discount?",
        "what is on in {city} this {day}?",
        "got any {day} deal for {city}?",
        "I am in {city}, today is {day}, code please",
        "{day} night order, {city} outlet. Coupon?",
        "do you have something for us in {city}, being {day}?",
        "need a promo code, {city}, {day}",
        "{city} branch running any scheme on {day}?",
    ),
    (
        "aaj {day} hai, {city} mein koi offer?",
        "{city} se bol raha hoon, {day} ka code do",
        "{call} {day} ko {city} mein kya offer hai",
        "{city} mein {day} wala discount batao",
        "koi coupon hai kya {city} ke liye, {day} hai aaj",
        "{day} hai {call}, {city} ka offer batao na",
        "kya chal raha hai {city} mein {day} ko?",
        "{city}, {day}. kuch sasta milega?",
        "mujhe {day} ko {city} mein order karna hai, code?",
        "offer kya hai aaj {city} mein, {day} hai",
        "{call} {city} outlet pe {day} scheme kya hai",
        "{day} ke din {city} mein kaunsa code lagega",
    ),
)
HEADS = ("Offers:\n", "Running offers\n", "", "", "Offer sheet: ", "Codes of the week:\n", "Live now: ")
FIELDS = "[city, day, code, gives]"
"""What the till asks for, on the last line of a message."""
LABELS = ("", "", "Customer: ", "Msg: ", "> ", "Chat: ")


def question(offers: Sequence[Offer], cities: Sequence[City], split: Split, rng: random.Random) -> Example:
    """Three offers of the split, of which one holds; in one message of eight, none does."""
    own = [offer for offer in offers if home(offer.code) == split]
    right = rng.choice(own)
    city = rng.choice([city for city in cities if city.name in right.cities])
    day = rng.choice(right.days)
    others = [offer for offer in own if not (day in offer.days and city.name in offer.cities)]
    shown = rng.sample(others, 3)
    holds = rng.random() < 0.875
    if holds:
        shown[rng.randrange(3)] = right
    line = rng.choice(LINES)
    between = "\n" if rng.random() < 0.7 else "; "
    comma = rng.choice((", ", "/", " & "))
    text = between.join(
        line.format(code=offer.code, days=comma.join(offer.days), cities=comma.join(offer.cities), gives=offer.gives)
        for offer in shown
    )
    voice = voice_in(city, rng)
    asked = typed(voice.of(*ASKS, rng).format(city=city.name, day=day, call=rng.choice(city.called)), rng)
    answer = {"city": city.name, "day": day, "code": right.code, "gives": right.gives}
    none = {"city": city.name, "day": day, "code": "none"}
    return Example(
        f"{rng.choice(HEADS)}{text}\n{rng.choice(LABELS)}{asked}\n{FIELDS}",
        compact(answer if holds else none),
        kind=KIND,
    )
