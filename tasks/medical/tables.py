"""The hand-written table of conditions behind the notes, as typed records."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONDITIONS = Path(__file__).with_name("conditions.csv")
SIDE = "{side} "


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it typically presents, simplified.

    Attributes:
        presentation: the complaint that brings its patients; conditions of one presentation are each other's differential.
        ages: youngest and oldest patient.
        duration: shortest, longest, and the unit: hours, days, weeks or months.
        symptoms: complaints, as in `3 days of ...`.
        history: what else the patient tells: how it began, what makes it better or worse.
        signs: findings on examination; `{side} ` stands where left or right is stated.
        vitals: the range of each observation that it changes; the others are normal.
        differential: what else to think of, the likeliest first.
    """

    system: str
    presentation: str
    name: str
    ages: tuple[int, int]
    sex: str
    duration: tuple[int, int, str]
    symptoms: tuple[str, ...]
    history: tuple[str, ...]
    signs: tuple[str, ...]
    vitals: Mapping[str, tuple[float, float]]
    risk_factors: tuple[str, ...]
    red_flags: tuple[str, ...]
    investigations: tuple[str, ...]
    differential: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Symptoms, history and signs, without sides."""
        return (*self.symptoms, *self.history, *(sign.replace(SIDE, "") for sign in self.signs))


def conditions() -> tuple[Condition, ...]:
    """The conditions, in the order of their file."""
    with CONDITIONS.open(encoding="utf-8", newline="") as file:
        return tuple(map(_condition, csv.DictReader(file)))


def of_presentation(among: Sequence[Condition]) -> dict[str, list[Condition]]:
    """The conditions by presentation, in order."""
    grouped: dict[str, list[Condition]] = {}
    for condition in among:
        grouped.setdefault(condition.presentation, []).append(condition)
    return grouped


def naming(phrase: str) -> re.Pattern[str]:
    """A case-insensitive pattern of a phrase as whole words."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def _condition(row: Mapping[str, str]) -> Condition:
    youngest, oldest = map(int, row["ages"].split("-"))
    span, unit = row["duration"].split(" ")
    shortest, longest = map(int, span.split("-"))
    return Condition(
        system=row["system"],
        presentation=row["presentation"],
        name=row["condition"],
        ages=(youngest, oldest),
        sex=row["sex"],
        duration=(shortest, longest, unit),
        symptoms=_listed(row["symptoms"]),
        history=_listed(row["history"]),
        signs=_listed(row["signs"]),
        vitals=dict(map(_range, _listed(row["vitals"]))),
        risk_factors=_listed(row["risk_factors"]),
        red_flags=_listed(row["red_flags"]),
        investigations=_listed(row["investigations"]),
        differential=_listed(row["differential"]),
    )


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(item for item in (part.strip() for part in cell.split(";")) if item)


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, span = text.split(" ")
    low, high = span.split("-")
    return name, (float(low), float(high))
