"""JSON: a list of objects, or an object with one such list in it (`{"data": [...]}`)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, decoded, without_mark
from tasks.formats.json_lines import without_repeats


def _fits(data: bytes) -> bool:
    start = without_mark(data).lstrip()
    if start[:1] == b"[":
        return True
    # an object over several lines, so the first line alone is none
    if start[:1] != b"{":
        return False
    try:
        json.loads(start.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return _list_in(start) is not None
    return len(start.strip().splitlines()) == 1 and _list_in(start) is not None


def _list_in(data: bytes) -> list[object] | None:
    """The only list of objects in an object; None if the content is nothing of that kind."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict) or "messages" in whole or "conversations" in whole:
        return None
    lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 else None


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    text = decoded(data)
    try:
        whole = json.loads(text, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        raise DataProblems([f"{error.lineno}: invalid JSON at column {error.colno}: {error.msg}"]) from error
    except (ValueError, RecursionError) as error:
        raise DataProblems([f" invalid JSON: {error}"]) from error
    rows = whole if isinstance(whole, list) else _list_in(data)
    return enumerate(rows or [], start=1)


FORMAT = FileFormat("a JSON list", _fits, _rows, separator=" item ")
