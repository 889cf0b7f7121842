"""The phrases of clerking notes that several kinds share: who the patient is, lists, and times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.medical.tables import Condition

ID = "SYN-0000"
"""Stands for the patient's identifier, which says that the note is synthetic; `generate` gives each note its own."""

_WOMAN = ("woman", "female", "lady")
_MAN = ("man", "male", "gentleman")
_OPENINGS = (
    "{id}, {short}",
    "{id} ({short})",
    "{short}, {id}",
    "{short} ({id})",
    "Pt {id}, {short}",
    "{id}: {age}yo {word}",
    "{age} yr old {word}, {id}",
    "{id}, {age}-year-old {word}",
    "{id} - {age} y/o {word}",
    "{id} {age} {sex}",
    "Synthetic pt {id}, {short}",
    "{age}yo {word} {id}",
)
_SHORT_UNITS = {"hours": "{}h", "days": "{}/7", "weeks": "{}/52", "months": "{}/12"}
_JOINS = (" and ", " + ", " & ", ", ")
_PLACES = (
    "bed {n}",
    "bay {n}",
    "side room {n}",
    "ED cubicle {n}",
    "AMU bed {n}",
    "SDEC chair {n}",
    "resus {n}",
    "clinic room {n}",
    "ward 7 bed {n}",
    "trolley {n}",
)


@dataclass(frozen=True, slots=True)
class Patient:
    """A made-up patient: age, and sex (F or M)."""

    age: int
    sex: str

    @property
    def short(self) -> str:
        """Age and sex as in `45F`."""
        return f"{self.age}{self.sex}"

    def opening(self, rng: random.Random) -> str:
        """How a note names the patient, with the identifier."""
        word = rng.choice(_WOMAN if self.sex == "F" else _MAN)
        return rng.choice(_OPENINGS).format(id=ID, short=self.short, age=self.age, sex=self.sex, word=word)


def patient(condition: Condition, rng: random.Random) -> Patient:
    """A patient who may have the condition."""
    sex = rng.choice("FM") if condition.sex == "any" else condition.sex
    return Patient(rng.randint(*condition.ages), sex)


def joined(items: Sequence[str]) -> str:
    """A list as answers write it: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def jotted(items: Sequence[str], rng: random.Random) -> str:
    """A list as notes write it."""
    join = rng.choice(_JOINS if len(items) == 2 else (", ", ", ", " + "))
    return join.join(items)


def short_time(number: int, unit: str) -> str:
    """A time as notes shorten it: `6h`, `3/7` for days, `2/52` for weeks, `4/12` for months."""
    return _SHORT_UNITS[unit].format(number)


def duration(condition: Condition, rng: random.Random) -> tuple[int, str]:
    """How long the patient has been ill: number and unit."""
    shortest, longest, unit = condition.duration
    return rng.randint(shortest, longest), unit


def place(rng: random.Random) -> str:
    """Where the patient is."""
    return rng.choice(_PLACES).format(n=rng.randint(1, 28))


def sentences(parts: Sequence[str], rng: random.Random) -> str:
    """The parts of a note, one after another or one per line."""
    separator = rng.choice((". ", ". ", ". ", "\n", ".\n", "; "))
    text = separator.join(part[0].upper() + part[1:] if separator != "; " else part for part in parts)
    return text if text.endswith(".") or rng.random() < 0.3 else f"{text}."


def asked(request: str, note: str, rng: random.Random) -> str:
    """Request and note, in either order."""
    return f"{request}\n{note}" if rng.random() < 0.6 else f"{note}\n{request}"
