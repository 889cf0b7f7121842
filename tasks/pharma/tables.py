"""The hand-written tables behind the questions, as typed records."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
MEDICINES = _HERE / "medicines.csv"
TERMS = _HERE / "terms.csv"
DOCUMENTS = _HERE / "documents.csv"
KEYWORDS = _HERE / "keywords.csv"


@dataclass(frozen=True, slots=True)
class Medicine:
    """One medicine in one strength."""

    inn: str
    drug_class: str
    atc_code: str
    route: str
    form: str
    strength: str
    pack: str
    indications: tuple[str, ...]
    contraindications: tuple[str, ...]
    storage: str


@dataclass(frozen=True, slots=True)
class Text:
    """A definition or a situation, and the name it describes."""

    answer: str
    text: str


def medicines() -> tuple[Medicine, ...]:
    """The medicines, in the order of their file."""
    return tuple(
        Medicine(
            inn=row["inn"],
            drug_class=row["drug_class"],
            atc_code=row["atc_code"],
            route=row["route"],
            form=row["form"],
            strength=row["strength"],
            pack=row["pack"],
            indications=_listed(row["indications"]),
            contraindications=_listed(row["contraindications"]),
            storage=row["storage"],
        )
        for row in _rows(MEDICINES)
    )


def terms() -> tuple[Text, ...]:
    """Definitions of pharmaceutical terms."""
    return tuple(Text(row["term"], row["definition"]) for row in _rows(TERMS))


def documents() -> tuple[Text, ...]:
    """Situations that call for one kind of document."""
    return tuple(Text(row["document"], row["situation"]) for row in _rows(DOCUMENTS))


def keywords() -> dict[str, tuple[str, ...]]:
    """The key words of each document and each term."""
    return {row["name"]: _listed(row["keywords"]) for row in _rows(KEYWORDS)}


def naming(inns: Iterable[str]) -> re.Pattern[str]:
    """A case-insensitive pattern of the names as whole words."""
    names = sorted(inns, key=lambda inn: (-len(inn), inn))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(item for item in (part.strip() for part in cell.split(";")) if item)
