"""What rows with named columns mean: the format that fits, with the columns as they are mapped or usually named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.checks import Flaw
from tasks.example import DataProblems, Example
from tasks.formats import ROWS, RowFormat
from tasks.formats.row_format import nearest
from tasks.suggest import did_you_mean

_SHOWN, _MOST = 40, 20
"""Characters of a column's name, and columns, that are shown in a message."""

_HINTS: Mapping[frozenset[str], str] = {
    frozenset(
        {"chosen", "rejected"}
    ): "it looks like preference data; to train on the chosen answers, set task.columns.completion=chosen",
    frozenset(
        {"text"}
    ): 'a column "text" alone is data for language modeling, without a prompt to answer; a prompt is needed',
    frozenset({"prompt"}): "there are prompts without completions",
}
"""TRL's formats that are not read, by their columns."""


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
            f"{column} is the {role}" if column != role else role for role, column in self.columns.items()
        )
        ignored = f"; not used: {', '.join(self.ignored)}" if self.ignored else ""
        return f"{self.format.title} ({mapped}{ignored})"


def understood(
    where: str, first: Sequence[Mapping[str, object]], every: Collection[object], columns: Columns
) -> Meaning:
    """The format of rows: the first that has their columns, with values of its types.

    Args:
        where: what the rows are of, for problems.
        first: some rows, in order; the columns of these are looked at.
        every: the columns of all rows.

    Raises:
        DataProblems: there is none.
    """
    names = list(dict.fromkeys(str(key) for row in first for key in row))
    given = [*columns.roles.values(), *([columns.group] if columns.group else [])]
    problems = [
        f'{where}: has no column "{column}"{nearest(column, names)}; it has {", ".join(names)}'
        for column in given
        if column not in every
    ]
    roles = list(dict.fromkeys(role for form in ROWS for role in form.roles))
    problems += [
        f"task.columns.{role}: there is no such role{did_you_mean(role, roles)} (known: {', '.join(roles)})"
        for role in columns.roles
        if role not in roles
    ]
    if problems:
        raise DataProblems(problems)
    for form in ROWS:
        found = form.columns(names, columns.roles)
        if found is not None and form.fits(_values(first[0], found)):
            used = {*found.values(), columns.group}
            return Meaning(form, found, tuple(name for name in names if name not in used))
    shown = [name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..." for name in names[:_MOST]]
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    hint = next(
        (text for keys, text in _HINTS.items() if keys == set(names) or (len(keys) > 1 and keys <= set(names))), ""
    )
    raise DataProblems(
        [
            f"{where}: the columns {', '.join(shown)}{rest} are of no known format{f' ({hint})' if hint else ''}; name them, as in "
            f"task.columns.prompt={shown[0]} task.columns.completion={shown[-1]}; a table needs a header"
        ]
    )


def _values(row: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, object]:
    return {role: row[column] for role, column in columns.items() if row.get(column) is not None}


def examples_of_row(row: Mapping[str, object], meaning: Meaning, columns: Columns) -> Sequence[Example] | Flaw:
    """The examples of a row, or what is wrong with it."""
    values = _values(row, meaning.columns)
    missing = [meaning.columns[role] for role in meaning.format.needed if role not in values]
    if missing:
        named = " and ".join(f'"{name}"' for name in missing)
        return Flaw(f"{named} {'is' if len(missing) == 1 else 'are'} missing; give a value or leave the row out")
    examples = meaning.format.examples(values)
    if columns.group is None or isinstance(examples, Flaw):
        return examples
    if row.get(columns.group) is None:
        return Flaw(f'"{columns.group}" (task.group_column) is missing; give a value or leave the row out')
    return [replace(example, group=str(row[columns.group])) for example in examples]
