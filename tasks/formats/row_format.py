"""What a row means: which columns it has, and the examples that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal

from tasks.example import Example
from tasks.readings import Flaw
from tasks.suggest import closest

Values = Mapping[str, object]
"""The values of a row by role; a missing value has no entry."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """What a row means.

    Attributes:
        title: its name in a sentence.
        roles: what columns stand for, `task.columns.ROLE`, each with its usual names, the most usual first.
        needed: the roles that a row must have.
        fits: whether values are of the types that this format has, of columns with the right names.
        examples: the examples of a row, or what is wrong with it.
    """

    title: str
    roles: Mapping[str, tuple[str, ...]]
    needed: tuple[str, ...]
    fits: Callable[[Values], bool]
    examples: Callable[[Values], Sequence[Example] | Flaw]

    def columns(self, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str] | None:
        """The column of each role, those that are given first; None if the format cannot be meant.

        Args:
            names: the columns that rows have.
            given: columns by role, as the user names them.
        """
        if not set(given) <= set(self.roles):
            return None
        folded = {name.strip().casefold(): name for name in reversed(names)}
        found = dict(given)
        for role, usual in self.roles.items():
            if role not in found:
                match = next((folded[name] for name in usual if name in folded), None)
                if match is not None and match not in found.values():
                    found[role] = match
        return found if set(self.needed) <= set(found) else None


def text_of(values: Values, role: str) -> str | None:
    """A value as text; numbers, dates and truth values as they are written. None if it is missing.

    Raises:
        TypeError: it is a list or an object.
    """
    value = values.get(role)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal | date | time):
        return str(value)
    if isinstance(value, bytes):  # a column of Parquet that is not marked as text
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise TypeError(f'"{role}" holds bytes that are not UTF-8; convert the column to text') from error
    raise TypeError(f'"{role}" must be text, not {type_in_words(value)}')


def type_in_words(value: object) -> str:
    """What a value is, as JSON names it."""
    names = {list: "a list", dict: "an object", type(None): "null", str: "text", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def are_texts(values: Values) -> bool:
    """Whether no value is a list or an object."""
    return not any(isinstance(value, list | dict) for value in values.values())


def nearest(column: str, names: Sequence[str]) -> str:
    """` (did you mean "X"?)`, or nothing."""
    near = closest(column, names)
    return f' (did you mean "{near}"?)' if near else ""
