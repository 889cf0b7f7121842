"""Observations of a patient: drawn for a condition, written as notes write them, and compared with the adult ranges."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.medical.tables import Condition

CHART = ("RR", "SpO2", "BP", "HR", "T")
"""The order of observation charts: breathing, circulation, temperature."""

NORMAL: Mapping[str, tuple[float, float]] = {
    "RR": (12, 20),
    "SpO2": (94, 100),
    "BP": (100, 140),
    "HR": (60, 100),
    "T": (36.0, 37.9),
}
"""The adult ranges of the system prompt, both ends normal; of a blood pressure, the systolic one."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "RR": {"high": "tachypnoeic", "low": "bradypnoeic"},
    "SpO2": {"low": "hypoxic"},
    "BP": {"high": "hypertensive", "low": "hypotensive"},
    "HR": {"high": "tachycardic", "low": "bradycardic"},
    "T": {"high": "febrile", "low": "hypothermic"},
}

_DRAWN: Mapping[str, tuple[float, float]] = {
    "RR": (13, 18),
    "SpO2": (95, 99),
    "BP": (106, 138),
    "HR": (62, 94),
    "T": (36.2, 37.4),
}
_STRAY: Mapping[str, Sequence[tuple[float, float]]] = {
    "RR": ((21, 28), (21, 28), (8, 11)),
    "SpO2": ((88, 93),),
    "BP": ((142, 178), (84, 99)),
    "HR": ((101, 126), (101, 126), (46, 58)),
    "T": ((38.0, 39.4), (35.0, 35.9)),
}
_FORMS: Mapping[str, Sequence[str]] = {
    "RR": ("RR {}", "resps {}", "resp rate {}", "RR {}/min", "R {}"),
    "SpO2": ("sats {}% RA", "SpO2 {}% on air", "sats {}%", "O2 sats {}%", "SpO2 {}%", "sats {}% on air"),
    "BP": ("BP {}", "BP {} mmHg", "blood pressure {}", "B/P {}"),
    "HR": ("HR {}", "pulse {}", "P {}", "HR {} reg", "heart rate {}", "HR {} bpm"),
    "T": ("T {}", "temp {}", "T {} C", "temperature {}", "temp {} C", "tympanic temp {}"),
}


@dataclass(frozen=True, slots=True)
class Observation:
    """One value, as it is shown: `RR` 22, `SpO2` 94, `BP` 128/76, `HR` 118, `T` 38.4."""

    name: str
    value: str

    @property
    def flag(self) -> str:
        """How the value stands to the normal range: high, low or normal."""
        low, high = NORMAL[self.name]
        number = float(self.value.partition("/")[0])
        return "low" if number < low else "high" if number > high else "normal"

    @property
    def word(self) -> str | None:
        """The adjective for a value out of range; None for a normal one."""
        return WORDS[self.name].get(self.flag)

    def written(self, rng: random.Random) -> str:
        """As a note writes it."""
        return rng.choice(_FORMS[self.name]).format(self.value)


def drawn(condition: Condition, rng: random.Random, stray: float = 0.0) -> list[Observation]:
    """All five observations of a patient, in the order of the chart.

    Args:
        stray: how often an observation is out of range though the condition does not change it.
    """
    return [Observation(name, _value(name, condition, stray, rng)) for name in CHART]


def _value(name: str, condition: Condition, stray: float, rng: random.Random) -> str:
    usual = rng.choice(_STRAY[name]) if rng.random() < stray else _DRAWN[name]
    low, high = condition.vitals.get("SBP" if name == "BP" else name, usual)
    if name == "T":
        return f"{rng.uniform(low, high):.1f}"
    number = rng.randint(round(low), round(high))
    return f"{number}/{round(0.6 * number) + rng.randint(-6, 6)}" if name == "BP" else str(number)
