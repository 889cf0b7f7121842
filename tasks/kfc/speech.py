"""How customers write on chat: Indian English, Hinglish, and English with the numbers and verbs of the city's own language."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.kfc.basket import Line
from tasks.kfc.tables import City, Item

NUMBERS: Mapping[str, Sequence[str]] = {
    "English": ("one", "two", "three", "four", "five", "six"),
    "Hindi": ("ek", "do", "teen", "char", "paanch", "chhe"),
    "Marathi": ("ek", "don", "teen"),
    "Kannada": ("ondu", "eradu", "mooru"),
    "Tamil": ("oru", "rendu", "moonu"),
    "Bengali": ("ekta", "duto", "tinte"),
    "Malayalam": ("oru", "randu", "moonnu"),
}
"""One, two, three, ... in Latin letters."""
WITHOUT_WORDS: Mapping[str, str] = {"onion": "pyaaz", "ice": "baraf", "sugar": "cheeni"}
"""Hindi for what is left out; other words are the same on chat."""
PLURALS = ("bucket", "drumstick", "burger", "roll", "bowl", "combo", "lollipop")
_JOINERS: Mapping[str, Sequence[str]] = {
    "English": (" and ", " and ", ", ", " + ", " with ", " n ", ", also ", " & ", ", "),
    "Hindi": (" aur ", " aur ", ", ", " + ", " n ", " ke saath ", ", aur ", ", ", " plus "),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """Who writes: from which city, and in which language, which is English, Hindi or the city's."""

    city: City
    language: str

    @property
    def is_english(self) -> bool:
        """Whether sentences are English ones."""
        return self.language == "English"

    def of(self, english: Sequence[str], hindi: Sequence[str], rng: random.Random) -> str:
        """One of the wordings; outside the Hindi belt, what has no wording of its own is English or Hindi."""
        if self.language in ("English", "Hindi"):
            return rng.choice(english if self.is_english else hindi)
        return rng.choice((*english, *hindi))

    def numbers(self) -> Sequence[str]:
        """Number words."""
        return NUMBERS[self.language]


def voice_in(city: City, rng: random.Random) -> Voice:
    """A customer of a city: two in five write English, most others Hinglish, a few mix in the city's own language."""
    own = 0.3 if city.language != "Hindi" else 0.0
    draw = rng.random()
    return Voice(city, "English" if draw < 0.4 else city.language if draw < 0.4 + own else "Hindi")


def count_of(number: int, voice: Voice, rng: random.Random, *, word: bool = False) -> str:
    """A number as a digit or a word.

    Args:
        word: a word in any case, where another number is next to it.
    """
    words = voice.numbers()
    if number > len(words):
        words = NUMBERS["English"]
    return words[number - 1] if word or rng.random() < 0.5 else str(number)


def name_of(item: Item, number: int, voice: Voice, rng: random.Random) -> str:
    """An item as it is written on chat: its name, a short one, or one with a typing mistake."""
    name = item.name if rng.random() < 0.62 else rng.choice(item.spoken)
    if voice.is_english and number > 1 and name.split()[-1] in PLURALS and rng.random() < 0.7:
        name += "s"
    return name


def size_of(size: str, voice: Voice, rng: random.Random) -> str:
    """A size as it is written on chat."""
    if size == "large":
        return rng.choice(("large", "large", "big", "big size") if voice.is_english else ("large", "bada", "bada wala"))
    if size == "regular":
        return rng.choice(("regular", "regular", "small", "reg") if voice.is_english else ("regular", "chhota", "reg"))
    number, unit = size.split()
    units = {"pc": ("{} pc", "{}pc", "{} piece", "{} pcs", "{} pieces"), "ml": ("{} ml", "{}ml")}[unit]
    return rng.choice(units).format(number)


def line_in_words(line: Line, voice: Voice, rng: random.Random) -> str:
    """A line of an order, as `do large masala fries` or `paneer roll x2 without mayo`."""
    name = name_of(line.item, line.quantity, voice, rng)
    if line.size is None:
        text = rng.choice(_unsized(name, line.quantity, voice, rng))
    else:
        text = rng.choice(_sized(name, size_of(line.size, voice, rng), line.quantity, voice, rng))
    return f"{text} {_left_out(line.without, voice, rng)}" if line.without else text


def _unsized(name: str, number: int, voice: Voice, rng: random.Random) -> list[str]:
    counted = f"{count_of(number, voice, rng)} {name}"
    if number == 1:
        return [counted, counted, counted, name]
    ways = [f"{name} x{number}", f"{name} - {number}", f"{number}x {name}"]
    if voice.is_english:
        ways.append(f"{number} nos {name}")
    return [*[counted] * 7, *ways]


def _sized(name: str, size: str, number: int, voice: Voice, rng: random.Random) -> list[str]:
    word = count_of(number, voice, rng, word=True)
    # a digit stands beside a size only where nothing can be mistaken
    ways = [f"{word} {size} {name}", f"{word} {size} {name}", f"{word} {name} {size}", f"{name} {size} {word}"]
    ways.append(f"{count_of(number, voice, rng)} {name} {size}")
    if number == 1:
        ways.append(rng.choice((f"{size} {name}", f"{name} {size}")))
    else:
        ways += [f"{name} {size} x{number}", f"{name} ({size}) - {number}"]
    if not voice.is_english:
        ways += [f"{name} {size} wala {word}".replace("wala wala", "wala")] * 2
    return ways


def _left_out(what: str, voice: Voice, rng: random.Random) -> str:
    if voice.is_english:
        return rng.choice(("without {}", "no {}", "without {} please", "({} nahi)")).format(what)
    word = WITHOUT_WORDS.get(what, what) if rng.random() < 0.5 else what
    return rng.choice(("bina {} ke", "no {}", "without {}", "{} mat dalna", "{} nahi")).format(word)


def lines_in_words(lines: Sequence[Line], voice: Voice, rng: random.Random) -> str:
    """The lines of an order, one after the other."""
    said = [line_in_words(line, voice, rng) for line in lines]
    joiners = _JOINERS["English" if voice.is_english else "Hindi"]
    if len(said) > 1 and rng.random() < 0.08:
        return "\n".join(said)
    text = said[0]
    for number, each in enumerate(said[1:], start=2):
        # " and " between all of three would be odd, and so would a comma before the last of two
        text += (rng.choice(joiners) if number == len(said) else ", ") + each
    return text


def typed(text: str, rng: random.Random) -> str:
    """A message as it is typed: small letters mostly, sometimes a capital or all capitals, blanks as they fall."""
    text = " ".join(part for part in text.split(" ") if part)
    draw = rng.random()
    if draw < 0.35:
        return text[:1].upper() + text[1:]
    return text.upper() if draw > 0.97 else text
