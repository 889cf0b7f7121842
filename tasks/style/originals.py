"""Reads the originals: texts written for this project, each beside a plain statement of its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("originals")


@dataclass(frozen=True, slots=True)
class Fact:
    """What is to be said, and how the house says it."""

    plain: str
    styled: str


@dataclass(frozen=True, slots=True)
class Original:
    """Facts that belong together: a scene, a product, or lines that rhyme.

    Attributes:
        title: a scene, a product's name, or `THEME: WORDS` for lines that rhyme on these words.
    """

    title: str
    facts: tuple[Fact, ...]

    @property
    def theme(self) -> str:
        """What lines of verse are about."""
        return self.title.partition(":")[0]


def read(kind: str) -> list[Original]:
    """The originals of a kind: prose, verse or copy.

    A title follows `# `; each line below it is a fact, `PLAIN | STYLED`.

    Raises:
        ValueError: a line is neither.
    """
    file = FOLDER / f"{kind}.txt"
    titles: list[str] = []
    facts: list[list[Fact]] = []
    for number, line in enumerate(file.read_text(encoding="ascii").splitlines(), start=1):
        plain, bar, styled = line.partition(" | ")
        if line.startswith("# "):
            titles.append(line.removeprefix("# "))
            facts.append([])
        elif bar and facts:
            facts[-1].append(Fact(plain, styled))
        else:
            raise ValueError(f"{file.name}:{number}: must be '# TITLE' or 'PLAIN | STYLED'")
    return [Original(title, tuple(each)) for title, each in zip(titles, facts, strict=True)]


def titles(originals: Sequence[Original]) -> list[str]:
    """Their titles, in order."""
    return [original.title for original in originals]
