"""Words about columns of no known format: why, and which settings may be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.formats import ROWS, RowFormat
from tasks.formats.row_format import type_in_words
from tasks.printable import setting

_SHOWN, _MOST = 40, 20
"""Characters of a column's name, and columns, that are shown in a message."""


def unfit(form: RowFormat, found: Mapping[str, str], values: Mapping[str, object]) -> str:
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


def unknown(names: Sequence[str], first: Sequence[Mapping[str, object]], reason: str) -> str:
    """What to do about rows of no known format."""
    if not names:
        return "its rows have no columns; a row is an object with named values"
    shown = [f"{name[:_SHOWN]}..." if len(name) > _SHOWN else name for name in names[:_MOST]]
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    what = f"the columns {', '.join(map(quoted, shown))}{rest} are of no known format"
    if reason:
        return f"{what}: {reason}; change these values, or name other columns, as in task.columns.prompt=COLUMN"
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
    shown = name.replace("\n", "\\n")
    return name if name.isidentifier() or name.replace("-", "_").isidentifier() else f'"{shown}"'
