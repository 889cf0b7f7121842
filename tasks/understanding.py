"""What rows with named columns mean: the format that fits, with the columns as they are mapped or usually named."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.checks import Flaw
from tasks.example import DataProblems, Example
from tasks.formats import ROWS, RowFormat
from tasks.formats.row_format import nearest, type_in_words
from tasks.printable import printable, setting
from tasks.suggest import did_you_mean

_SHOWN, _MOST = 40, 20
"""Characters of a column's name, and columns, that are shown in a message."""


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
    unfit = ""
    for form in ROWS:
        found = form.columns(names, columns.roles)
        if found is None:
            continue
        rows = [_values(row, found) for row in first]
        whole = [values for values in rows if set(form.needed) <= values.keys()] or rows[:1]
        if any(map(form.fits, whole)):
            if is_unpaired(form, whole):
                raise DataProblems([f"{where}: {_UNPAIRED}"])
            used = {*found.values(), columns.group}
            return Meaning(form, found, tuple(name for name in names if name not in used))
        unfit = unfit or _unfit(form, found, whole[0])
    raise DataProblems([f"{where}: {_unknown(names, first, unfit)}{f'; {hint}' if hint else ''}"])


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


_UNPAIRED = (
    "prompt, completion and a label that is true or false are TRL's unpaired preference data, whose answers with label false are bad "
    "ones; keep the rows with label true and leave the label out, or rename it if it is something else"
)


def is_unpaired(form: RowFormat, rows: Sequence[Mapping[str, object]]) -> bool:
    """Whether labels say if the answers are good, and are not the answers."""
    labels = [row["label"] for row in rows if "label" in row]
    return (
        form.needed == ("prompt", "completion")
        and bool(labels)
        and all(isinstance(label, bool) for label in labels)
        and not any(str(row.get("completion")).strip().casefold() in ("true", "false") for row in rows)
    )


def _unfit(form: RowFormat, found: Mapping[str, str], values: Mapping[str, object]) -> str:
    """Why the values of columns with the right names are not of this format."""
    if len(form.needed) == 1 and form.needed[0] in values:  # a list of messages
        role = form.needed[0]
        return f"{quoted(found[role])} holds {type_in_words(values[role])} where a list of messages is needed"
    wrong = [
        f"{quoted(found[role])} holds {type_in_words(value)}"
        for role, value in values.items()
        if isinstance(value, list | dict)
    ]
    return f"read as {form.title}, {' and '.join(wrong)} where text is needed" if wrong else ""


def _unknown(names: Sequence[str], first: Sequence[Mapping[str, object]], unfit: str) -> str:
    """What to do about rows of no known format."""
    if not names:
        return "its rows have no columns; a row is an object with named values"
    shown = [f"{name[:_SHOWN]}..." if len(name) > _SHOWN else name for name in names[:_MOST]]
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    what = f"the columns {', '.join(map(quoted, shown))}{rest} are of no known format"
    if unfit:
        return f"{what}: {unfit}; change these values, or name other columns, as in task.columns.prompt=COLUMN"
    if hint := _hint(names, first):
        return f"{what}: {hint}"
    return f"{what}; name them, as in {_suggestion(names, first)}"


def _hint(names: Sequence[str], first: Sequence[Mapping[str, object]]) -> str:
    """TRL's formats that are not read, by their columns."""
    if {"chosen", "rejected"} <= set(names):
        whole = isinstance(first[0].get("chosen"), list) and "prompt" not in names
        role = "messages" if whole else "completion"
        return f"it looks like preference data; to train on the chosen answers, set task.columns.{role}=chosen"
    if list(names) == ["text"]:
        return 'a column "text" alone is data for language modeling, without a prompt to answer; a prompt is needed'
    if list(names) == ["prompt"]:
        return "there are prompts without completions"
    return ""


def _suggestion(names: Sequence[str], first: Sequence[Mapping[str, object]]) -> str:
    """Settings that may be meant: the label if there is one, and the longest texts."""
    label = next((name for form in ROWS for name in names if name.casefold() in form.roles.get("label", ())), None)
    length = {
        name: sum(len(str(row.get(name, ""))) for row in first)
        for name in names
        if name != label and not any(isinstance(row.get(name), list | dict) for row in first)
    }
    texts = sorted(length, key=lambda name: -length[name])
    if label is not None and texts:
        return f"{setting('task.columns.prompt', texts[0])} {setting('task.columns.label', label)}"
    # of two columns, the first one is asked
    two = [name for name in names if name in texts[:2]]
    if len(two) < 2:
        return "task.columns.prompt=COLUMN task.columns.completion=COLUMN; two columns with text are needed"
    return f"{setting('task.columns.prompt', two[0])} {setting('task.columns.completion', two[1])}"


def quoted(name: str) -> str:
    """A column's name in a sentence: in quotation marks where it would be misread."""
    return name if name.isidentifier() or name.replace("-", "_").isidentifier() else f'"{name}"'


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
