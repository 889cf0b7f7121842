"""The rows of a split as they were read: where they are from, and what is wrong with those that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.example import Example
from tasks.printable import printable


@dataclass(frozen=True, slots=True)
class Flaw:
    """The reason why a row cannot be used."""

    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a split: `path` on this machine, and a short `name` that is the same on every machine.

    Attributes:
        part: what of it the split is, if it is not the whole.
    """

    path: str
    name: str
    separator: str = ":"
    part: str = ""

    @property
    def title(self) -> str:
        """The split in a warning."""
        return f"{self.name} ({self.part})" if self.part else self.name

    def at(self, row: int) -> str:
        """Location of a row, for problems."""
        return f"{self.path}{self.separator}{row}"

    def short(self, row: int) -> str:
        """Location of a row, for warnings."""
        return printable(f"{self.name}{self.separator}{row}")


@dataclass(frozen=True, slots=True)
class JoinedOrigin(Origin):
    """Several sources, one after another.

    Attributes:
        parts: each with the number that is added to the numbers of its rows, ascending.
    """

    parts: tuple[tuple[int, Origin], ...] = ()

    def at(self, row: int) -> str:
        """Location of a row, for problems."""
        start, origin = self._part_of(row)
        return origin.at(row - start)

    def short(self, row: int) -> str:
        """Location of a row, for warnings."""
        start, origin = self._part_of(row)
        return origin.short(row - start)

    def _part_of(self, row: int) -> tuple[int, Origin]:
        return max((part for part in self.parts if part[0] < row), key=lambda part: part[0], default=self.parts[0])


@dataclass(frozen=True, slots=True)
class Reading:
    """One split as read: the usable rows with their numbers, and the problems of the others.

    Attributes:
        count: number of rows, usable or not.
        unknown: keys without a meaning, with their numbers of rows.
        remedy: what to do about too few rows, if rows were drawn.
    """

    origin: Origin
    rows: tuple[tuple[int, Example], ...] = ()
    count: int = 0
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()
    remedy: str = ""

    @property
    def examples(self) -> tuple[Example, ...]:
        """The usable rows in file order."""
        return tuple(example for _, example in self.rows)
