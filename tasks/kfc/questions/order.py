"""A message that orders: what, which size, how many, without what, and how it is taken.

Conventions: an item has its name on the menu; without a number it is one; a size stands there only if the customer names it; `for` stands
there only if the message says how the food is taken.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import draw, order_json
from tasks.kfc.speech import Voice, lines_in_words, typed, voice_in
from tasks.kfc.tables import City, Item

KIND = "order"
ENGLISH = (
    "{items} please",
    "I want {items}",
    "hi, can I get {items}?",
    "kindly send {items}",
    "please note, {items}",
    "need {items} {soon}",
    "one order please: {items}",
    "{call} {items} please",
    "give me {items} na",
    "get me {items}",
    "we will have {items}",
    "for me {items}",
    "I'll take {items}",
    "send {items} fast fast",
    "hello, {items}, that's all",
    "order for {who}: {items}",
    "can you do {items}?",
    "{items} {soon}",
    "hi team, {items}",
    "{who} wants {items}",
    "just {items} today",
    "is it open? then {items}",
    "good evening, {items} is what we need",
    "same as last week only, {items}",
    "let me have {items}",
    "put {items} for {who}",
)
HINDI = (
    "{call} {items} dena",
    "{items} chahiye",
    "mujhe {items} chahiye {soon}",
    "{items} bhej do",
    "{call}, {items} kar do",
    "ek order likho: {items}",
    "{items} laga do {soon}",
    "haan ji, {items}",
    "{who} ke liye {items}",
    "order lena hai, {items}",
    "bhook lagi hai {call}, {items} de do",
    "{items} milega kya?",
    "acha suno, {items} bhejna",
    "{items} bana do na",
    "hello {call}, {items} ka order hai",
    "{call} jaldi se {items}",
    "aaj {items} mangwana hai",
    "{items} ready kar do {call}",
    "likh lo {items}",
    "{items}, bas itna hi",
    "mere liye {items}",
    "dost aaye hain, {items} chahiye",
    "{items} bhijwa dijiye",
    "namaste, {items} dijiye",
    "{call} {items} de do yaar",
    "chalo {items} kar dete hain",
)
OWN: Mapping[str, Sequence[str]] = {
    "Marathi": ("{call} {items} dya", "{items} pahije {call}", "{call}, {items} pathva na", "mala {items} pahije"),
    "Kannada": ("{call} {items} kodi", "{items} beku", "{call} {items} kalsi please", "nanage {items} beku {soon}"),
    "Tamil": (
        "{call} {items} kudunga",
        "{items} venum",
        "{call} {items} anuppunga please",
        "enakku {items} venum {soon}",
    ),
    "Bengali": ("{call} {items} din to", "{items} lagbe", "{call}, {items} pathiye din", "amar {items} lagbe {soon}"),
    "Malayalam": (
        "{call} {items} venam",
        "{items} tharumo {call}?",
        "{call}, {items} ayakkane",
        "enikku {items} venam",
    ),
}
"""Frames in the languages of cities outside the Hindi belt."""
GREETINGS = ("hi", "hello", "good", "namaste", "haan")
"""Beginnings that nothing stands before."""
SOON = ("quickly", "asap", "by 8", "in half an hour", "for tonight")
SOON_HINDI = ("jaldi", "abhi", "8 baje tak", "thoda jaldi", "raat ke liye")
WHO = ("kids", "my office", "mummy", "the team", "my roommate", "papa", "4 people", "a small party", "my sister")
WHO_HINDI = ("bachchon", "office", "mummy", "ghar walon", "roommate", "papa", "4 logon", "party", "didi")
MODES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "takeaway": (
        ("parcel please", "takeaway", "parcel it", "will pick up in 20 min", "pack it properly", "I will collect"),
        ("parcel kar dena", "pack kar do", "parcel", "main lene aaunga", "leke jaunga", "packing acche se"),
    ),
    "delivery": (
        ("home delivery", "deliver to flat 302", "send it home", "delivery please", "drop at gate 2", "to my hostel"),
        ("ghar pe bhej do", "home delivery karna", "flat 302 pe bhejna", "ghar pahuncha do", "hostel pe bhej dena"),
    ),
    "dine-in": (
        ("dine in", "we are at table 7", "will eat here only", "for here", "sitting inside, table 4", "having it here"),
        ("yahin khayenge", "table 7 pe", "yahi baithe hain", "andar table 4 pe laga do", "dine in hai"),
    ),
}
"""How the food is taken, in English and in Hinglish."""


def question(menu: Mapping[str, Item], cities: Sequence[City], split: Split, rng: random.Random) -> Example:
    """One message with one to three items."""
    voice = voice_in(rng.choice(cities), rng)
    lines = draw(menu, rng.choice((1, 1, 1, 1, 2, 2, 2, 3)), rng, split=split)
    mode = rng.choice((None, None, *MODES)) if len(lines) < 3 else None
    return Example(message(lines_in_words(lines, voice, rng), voice, rng, mode), order_json(lines, mode), kind=KIND)


def message(items: str, voice: Voice, rng: random.Random, mode: str | None = None) -> str:
    """The items in a sentence of somebody who orders."""
    own = OWN.get(voice.language)
    frame = rng.choice(own) if own else voice.of(ENGLISH, HINDI, rng)
    hindi = not voice.is_english
    text = frame.format(
        items=items,
        call=rng.choice(voice.city.called),
        soon=rng.choice(SOON_HINDI if hindi else SOON),
        who=rng.choice(WHO_HINDI if hindi else WHO),
    )
    if mode:
        text = with_mode(text, mode, voice, rng)
    return typed(text, rng)


def with_mode(text: str, mode: str, voice: Voice, rng: random.Random) -> str:
    """The message with how the food is taken, before or behind it."""
    said = voice.of(*MODES[mode], rng)
    if not text.lower().startswith(GREETINGS) and rng.random() < 0.2:
        return f"{said}, {text}"
    return rng.choice(
        (f"{text}, {said}", f"{text}{'' if text.endswith('?') else '.'} {said}", f"{text} {said}", f"{text}\n{said}")
    )
