"""What rows with named columns mean: the format that fits, with the columns as they are mapped or usually named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.example import DataProblems, Example
from tasks.formats import ROWS, RowFormat
from tasks.formats.row_format import nearest
from tasks.printable import printable
from tasks.readings import Flaw
from tasks.suggest import did_you_mean
from tasks.unknown_columns import quoted, unfit, unknown

_MOST = 20
"""Columns that are shown in a message."""


class UnpairedPreferences(DataProblems):
    """The answers of some rows are bad ones, as their labels say."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns as the user names them.

    Attributes:
        roles: a column for each role of a format, `task.columns.ROLE`.
        group: rows with the same value here stay in one split.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """How rows are understood."""

    format: RowFormat
    columns: Mapping[str, str]
    ignored: tuple[str, ...]

    def in_words(self) -> str:
        """The format, its columns, and those that are not used."""
        mapped = ", ".join(
            f"{quoted(column)} is the {role}" if column != role else role for role, column in self.columns.items()
        )
        names = [
            *map(quoted, self.ignored[:_MOST]),
            *([f"{len(self.ignored) - _MOST} more"] if len(self.ignored) > _MOST else []),
        ]
        ignored = f"; not used: {', '.join(names)}" if names else ""
        return printable(f"{self.format.title} ({mapped}{ignored})")


def understood(
    where: str, first: Sequence[Mapping[str, object]], every: Collection[object], columns: Columns, hint: str = ""
) -> Meaning:
    """The format of rows: the first that has their columns, with values of its types.

    Args:
        where: what the rows are of, for problems.
        first: some rows, in order; the columns of these are looked at.
        every: the columns of all rows.
        hint: what else may be wrong where the format is unknown.

    Raises:
        DataProblems: there is none.
    """
    names = list(dict.fromkeys(str(key) for row in first for key in row))
    problems = [*_wrong_columns(where, names, every, columns), *_wrong_roles(columns)]
    if problems:
        raise DataProblems(problems)
    possible = [(form, found) for form in ROWS if (found := form.columns(names, columns.roles)) is not None]
    reason = ""
    # a format that some row has whole comes before one whose columns are in different rows
    for form, found, rows in sorted(
        ((form, found, _whole(form, found, first)) for form, found in possible), key=lambda item: not item[2]
    ):
        if any(map(form.fits, rows or [_values(first[0], found)])):
            if _is_unpaired(form, found, first):
                raise UnpairedPreferences([f"{where}: {_UNPAIRED}"])
            used = {*found.values(), columns.group}
            return Meaning(form, found, tuple(name for name in names if name not in used))
        reason = reason or unfit(form, found, (rows or [_values(first[0], found)])[0])
    raise DataProblems([f"{where}: {unknown(names, first, reason)}{f'; {hint}' if hint else ''}"])


def _whole(form: RowFormat, found: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The values of the rows that have all that the format needs."""
    valued = (_values(row, found) for row in rows)
    return [values for values in valued if set(form.needed) <= values.keys()]


def _wrong_columns(where: str, names: Sequence[str], every: Collection[object], columns: Columns) -> Iterator[str]:
    """Columns that are given and not there."""
    shown = ", ".join(map(quoted, names[:_MOST]))
    for column in dict.fromkeys([*columns.roles.values(), *([columns.group] if columns.group else [])]):
        if column not in every:
            yield f'{where}: has no column "{column}"{nearest(column, names)}; it has {shown}'


def _wrong_roles(columns: Columns) -> Iterator[str]:
    """Roles that are not there, that belong to different formats, or that share a column."""
    roles = list(dict.fromkeys(role for form in ROWS for role in form.roles))
    unknown = [role for role in columns.roles if role not in roles]
    for role in unknown:
        yield f"task.columns.{role}: there is no such role{did_you_mean(role, roles)} (known: {', '.join(roles)})"
    if not unknown and not any(set(columns.roles) <= set(form.roles) for form in ROWS):
        named = " and ".join(f"task.columns.{role}" for role in columns.roles)
        yield f"{named} are not roles of one format; the formats are {'; '.join(_roles_of(form) for form in ROWS)}"
    for form in ROWS:
        by_column: dict[str, str] = {}
        for role in form.needed:
            column = columns.roles.get(role)
            if column is not None and by_column.setdefault(column, role) != role:
                yield f'task.columns.{by_column[column]} and task.columns.{role} are both "{column}"; the answer needs a column of its own'
                return


def _roles_of(form: RowFormat) -> str:
    return f"{form.title} ({', '.join(form.roles)})"


_TRUTHS = {"true", "false"}
_VERDICTS = _TRUTHS | {"yes", "no", "y", "n", "0", "1"}
_UNPAIRED = (
    "prompt, completion and a label that is true or false are TRL's unpaired preference data, whose answers with label false are bad "
    "ones; keep the rows with label true and leave the label out, or rename it if it is something else"
)


def _is_unpaired(form: RowFormat, found: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> bool:
    """Whether labels say if the answers are good, and are not the answers."""
    if form.needed != ("prompt", "completion"):
        return False
    labels, answers = (
        {str(row[column]).strip().casefold() for row in rows if row.get(column) is not None}
        for column in (found.get("label", "label"), found["completion"])
    )
    return bool(labels) and labels <= _TRUTHS and not answers <= _VERDICTS


def _values(row: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, object]:
    # not a number is a missing value: pandas writes it for one
    values = {role: row.get(column) for role, column in columns.items()}
    return {role: value for role, value in values.items() if value is not None and value == value}


def examples_of_row(row: Mapping[str, object], meaning: Meaning, columns: Columns) -> Sequence[Example] | Flaw:
    """The examples of a row, or what is wrong with it."""
    values = _values(row, meaning.columns)
    missing = [meaning.columns[role] for role in meaning.format.needed if role not in values]
    if missing:
        named = " and ".join(f'"{name}"' for name in dict.fromkeys(missing))
        return Flaw(f"{named} {'is' if len(missing) == 1 else 'are'} missing; give a value or leave the row out")
    examples = meaning.format.examples(values)
    if columns.group is None or isinstance(examples, Flaw):
        return examples
    if row.get(columns.group) is None:
        return Flaw(f'"{columns.group}" (task.group_column) is missing; give a value or leave the row out')
    return [replace(example, group=str(row[columns.group])) for example in examples]
