"""What a JSON object holds that is a whole file: rows in a list, by column, or by id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

_OF_A_ROW = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")
_SPLITS = ("train", "training", "validation", "valid", "val", "dev", "eval", "test")


def rows_in(whole: Mapping[str, object]) -> Sequence[object] | None:
    """The rows that the object holds; None if it is a row itself, or nothing of a known form.

    The forms are one list of objects (`{"data": [...]}`), a list for each column, as `Dataset.to_dict` of `datasets` gives, and objects by
    column or by id, as `DataFrame.to_json` of pandas writes.
    """
    lists = _lists_of_objects(whole)
    if any(isinstance(whole.get(key), str) or key in lists for key in _OF_A_ROW):
        return None
    messages = whole.get("messages")
    if isinstance(messages, dict) and not all(key.isdecimal() for key in messages):
        return None
    if len(lists) == 1:
        return cast(Sequence[object], whole[lists[0]])
    if _is_by_column(whole):
        columns = {name: list(cells) for name, cells in whole.items() if isinstance(cells, list)}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if whole and all(isinstance(value, dict) and value for value in whole.values()):
        return _of_objects({name: value for name, value in whole.items() if isinstance(value, dict)})
    return None


def splits_in(whole: Mapping[str, object]) -> list[str]:
    """The names of lists of objects that are named after splits, if there are several."""
    lists = _lists_of_objects(whole)
    return lists if len(lists) > 1 and all(name.casefold() in _SPLITS for name in lists) else []


def object_in(data: bytes) -> dict[str, object] | None:
    """The object that the content is; None if it is something else."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) else None


def _lists_of_objects(whole: Mapping[str, object]) -> list[str]:
    return [name for name, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]


def _is_by_column(whole: Mapping[str, object]) -> bool:
    """Whether all values are lists of one length that hold no objects: a row with lists of messages is no table."""
    lists = [value for value in whole.values() if isinstance(value, list)]
    return (
        len(lists) == len(whole) > 0
        and len({len(value) for value in lists}) == 1
        and bool(lists[0])
        and not any(isinstance(value[0], dict) for value in lists)
        and (len(whole) > 1 or isinstance(lists[0][0], list))
    )


def _of_objects(objects: Mapping[str, Mapping[str, object]]) -> Sequence[object]:
    """The rows of objects by id, or by column with the cells by row number."""
    inner = next(iter(objects.values()))
    numbered = all(key.isdecimal() for key in inner) and not all(key.isdecimal() for key in objects)
    if numbered and all(value.keys() == inner.keys() for value in objects.values()):
        return [{name: cells[row] for name, cells in objects.items()} for row in inner]
    return list(objects.values())
