"""Figures: how clauses write sums, periods, dates and places, and how answers do.

| in a clause | in an answer |
| --- | --- |
| `US$14,500`, `USD 14,500` | `USD 14,500` |
| `USD 14,500 per day pro rata`, `a day`, `PDPR` | `USD 14,500 per day` |
| `fourteen (14) running days`, `fourteen running days` | `14 running days` |
| `ten per cent`, `10 per cent`, `10%` | `10%` |
| `March 10, 2027`, `10th March 2027` | `10 March 2027` |
| `8,000 mt a day`, `8,000 metric tons PWWD` | `8,000 tons per day` |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONES = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = _listed("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_MONTHS = _listed("January February March April May June July August September October November December")
_Steps = Sequence[tuple[int, int]]
_DAILY_STEPS: _Steps = ((10_000, 250), (100_000, 250))
_STEPS: _Steps = ((1_000, 50), (10_000, 250), (100_000, 2_500), (500_000, 10_000), (1_000_000, 50_000))
_USUAL: Mapping[str, tuple[str, ...]] = {
    "days": _listed("2 3 4 5 6 7 8 9 10 12 14 15 18 20 21 25 28 30 35 40 45 50 60 75 90 100 120 150 180"),
    "hours": _listed("2 3 4 6 8 10 12 18 20 24 30 36 40 42 48 54 60 72 80 84 96 108 120 132 144 156 168"),
    "months": _listed("2 3 4 6 9 12 15 18 24 30 36 48 60"),
    "years": _listed("2 3 4 5 6 7 8 10"),
}
_UNITS: Mapping[str, tuple[str, ...]] = {
    "days": ("days",) * 3
    + tuple(f"{which} days" for which in _listed("calendar running business working consecutive")),
    "hours": ("hours",) * 3 + ("running hours", "consecutive hours"),
    "months": ("months", "months", "calendar months"),
    "years": ("years",),
}
LAWS = _listed(
    "English Norwegian Singapore Swiss Dutch German Danish Scots Irish French Belgian Swedish Greek Indian Japanese Finnish "
    "Italian Austrian Spanish Portuguese Maltese Cypriot Canadian Turkish Polish"
)
PLACES = _listed(
    "London Oslo Singapore Rotterdam Hamburg Geneva Paris Copenhagen Dubai Piraeus Antwerp Tokyo Mumbai Stockholm Vienna "
    "Edinburgh Dublin Lisbon Genoa Sydney Zurich Helsinki Bergen Valletta"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as the clause writes it and as the answer does."""

    text: str
    answer: str


def figure(kind: str, low: int, high: int, world: str, rng: random.Random) -> Figure:
    """A random figure of a kind, between two bounds if the kind has any."""
    if kind in _USUAL:
        return period(kind, low, high, rng)
    return _MAKERS[kind](low, high, world, rng)


def period(unit: str, low: int, high: int, rng: random.Random) -> Figure:
    """A period of `days`, `hours`, `months` or `years`, never one only."""
    number = rng.choice([value for value in map(int, _USUAL[unit]) if low <= value <= high])
    unit = rng.choice(_UNITS[unit])
    return Figure(f"{_counted(number, rng)} {unit}", f"{number} {unit}")


def plain_period(rng: random.Random) -> Figure:
    """Some hours or days that something lasts."""
    unit, number = rng.choice(
        (("hours", rng.randint(3, 40)), ("days", rng.randint(2, 14)), ("days", rng.randint(2, 14)))
    )
    return Figure(f"{rng.choice((str(number), words(number)))} {unit}", f"{number} {unit}")


def words(number: int) -> str:
    """A number below 100 in words."""
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens]


def _counted(number: int, rng: random.Random) -> str:
    if number >= 100 or rng.random() < 0.55:
        return str(number)
    return rng.choice((words(number), f"{words(number)} ({number})"))


def _amount(low: int, high: int, rng: random.Random, steps: _Steps = _STEPS) -> int:
    """Small amounts as likely as large ones (log-uniform), rounded as people do."""
    raw = float(low * (high / low) ** rng.random())
    step = next((step for below, step in steps if raw < below), 100_000)
    return max(low, round(raw / step) * step)


def _money(low: int, high: int, world: str, rng: random.Random, steps: _Steps = _STEPS) -> Figure:
    currency = "USD" if world == "sea" else rng.choice(("USD", "EUR", "EUR", "GBP", "GBP", "CHF"))
    amount = f"{_amount(low, high, rng, steps):,}"
    answer = f"{currency} {amount}"
    return Figure(f"US${amount}" if currency == "USD" and rng.random() < 0.35 else answer, answer)


def _daily(low: int, high: int, world: str, rng: random.Random) -> Figure:
    sum_ = _money(low, high, world, rng, _DAILY_STEPS)
    ending = rng.choice(
        ("per day pro rata", "per day", "a day", "per day or pro rata", "PDPR", "per running day", "daily")
    )
    return Figure(f"{sum_.text} {ending}", f"{sum_.answer} per day")


def _percent(low: int, high: int, world: str, rng: random.Random) -> Figure:
    number = rng.choice([value for value in (*range(1, 11), 12, *range(15, 151, 5)) if low <= value <= high])
    if number < 12 and rng.random() < 0.2:
        return Figure(f"{number}.5 per cent", f"{number}.5%")
    return Figure(rng.choice((f"{number}%", f"{_counted(number, rng)} per cent")), f"{number}%")


def _date(low: int, high: int, world: str, rng: random.Random) -> Figure:
    day, month, year = rng.randint(1, 28), rng.choice(_MONTHS), rng.randint(2024, 2029)
    ending = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
    answer = f"{day} {month} {year}"
    return Figure(rng.choice((answer, answer, f"{month} {day}, {year}", f"{day}{ending} {month} {year}")), answer)


def _law(low: int, high: int, world: str, rng: random.Random) -> Figure:
    law = f"{rng.choice(LAWS)} law"
    return Figure(law, law)


def _place(low: int, high: int, world: str, rng: random.Random) -> Figure:
    place = rng.choice(PLACES)
    return Figure(place, place)


def _tons(low: int, high: int, world: str, rng: random.Random) -> Figure:
    tons = rng.randrange(low, high, 10)
    return Figure(f"{tons} {rng.choice(('metric tons', 'mt', 'tonnes'))}", f"{tons} tons")


def _tonrate(low: int, high: int, world: str, rng: random.Random) -> Figure:
    tons = f"{rng.randrange(1_500, 25_000, 250):,}"
    unit = rng.choice(("metric tons", "mt", "tonnes"))
    ending = rng.choice(("a day", "per day", "per weather working day", "PWWD", "per working day"))
    return Figure(f"{tons} {unit} {ending}", f"{tons} tons per day")


def _miles(low: int, high: int, world: str, rng: random.Random) -> Figure:
    miles = rng.randrange(low, high, 10)
    return Figure(f"{miles} {rng.choice(('nautical miles', 'miles', 'sea miles'))}", f"{miles} miles")


_MAKERS: Mapping[str, Callable[[int, int, str, random.Random], Figure]] = {
    "money": _money,
    "daily": _daily,
    "percent": _percent,
    "date": _date,
    "law": _law,
    "place": _place,
    "tons": _tons,
    "tonrate": _tonrate,
    "miles": _miles,
}
