"""`json_f1`: F1 of the values of a JSON document, each at its place.

A *leaf* is a string, number, truth value or null with the keys that lead to it; an empty object or list is a leaf too. With S leaves
that predicted and expected share, F1 = 2 S / (leaves predicted + leaves expected), the field F1 of information extraction as Donut's
evaluation has it (Kim et al. 2022, arXiv:2111.15664). Unlike there, a leaf stays with its list item: the items of two lists are paired,
each with at most one, in the way that shares the most leaves (an optimal assignment at each level), so a quantity counts only with its
own item. The order of list items and of keys does not matter.

Numbers are equal by value (2 and 2.0), texts after `normalise`, and keys as they are written. A number is not equal to a text or to a
truth value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NoReturn

from tasks.metrics.normalising import f1, normalise

DEEPEST = 64
"""Levels of lists and objects; a text with more counts as no JSON."""
_NOT_JSON = object()


def _reject(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject)


def json_f1(predicted: str, expected: str, label: str | None = None) -> float:
    """F1 of the JSON leaves (see above), in [0, 1].

    Of each text, the whole is read if it is JSON, and otherwise the first object or list that begins in it at its first brace or bracket;
    so a code fence and words around the JSON cost nothing. Without any JSON, also with one that breaks off, an answer scores 0. NaN
    and Infinity are not JSON (RFC 8259). If neither text holds JSON, the score is 1.0 where they are equal after `normalise`, else 0.0.
    """
    ours, wanted = _read(predicted), _read(expected)
    if ours is _NOT_JSON or wanted is _NOT_JSON:
        return float(ours is wanted and normalise(predicted) == normalise(expected))
    return f1(_shared(ours, wanted), _leaves(ours), _leaves(wanted))


def _read(text: str) -> Any:
    """The JSON in a text, or `_NOT_JSON`."""
    stripped = text.strip()
    starts = [place for place in (stripped.find("{"), stripped.find("[")) if place >= 0]
    for start in dict.fromkeys((0, *([min(starts)] if starts else []))):
        try:
            value, end = _DECODER.raw_decode(stripped, start)
        # ValueError: no JSON, or a number of thousands of digits; RecursionError: too many levels
        except (ValueError, RecursionError):
            continue
        if (end == len(stripped) or isinstance(value, dict | list)) and not _is_deeper(value, DEEPEST):
            return value
    return _NOT_JSON


def _is_deeper(value: Any, levels: int) -> bool:
    inner = _inner(value)
    return inner is not None and (levels == 0 or any(_is_deeper(each, levels - 1) for each in inner))


def _inner(value: Any) -> Sequence[Any] | None:
    """The values of an object or a list; None for other values."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else None


def _leaves(value: Any) -> int:
    # an empty object or list is one leaf
    inner = _inner(value)
    return sum(map(_leaves, inner)) if inner else 1


def _shared(ours: Any, wanted: Any) -> int:
    """The largest number of leaves that can be paired with equal ones."""
    if isinstance(ours, dict) and isinstance(wanted, dict) and (ours or wanted):
        return sum(_shared(value, wanted[key]) for key, value in ours.items() if key in wanted)
    if isinstance(ours, list) and isinstance(wanted, list) and (ours or wanted):
        return _shared_by_items(ours, wanted)
    mine, theirs = _plain(ours), _plain(wanted)
    return int(mine is not None and mine == theirs)


def _plain(value: Any) -> Hashable | None:
    """A leaf in the form in which it is compared; None for objects and lists with something in them."""
    if isinstance(value, dict | list):
        return None if value else type(value).__name__
    if isinstance(value, str):
        return "text", normalise(value)
    # apart from numbers, because True == 1
    return ("number", value) if isinstance(value, int | float) and not isinstance(value, bool) else ("constant", value)


def _shared_by_items(ours: Sequence[Any], wanted: Sequence[Any]) -> int:
    """The best pairing of the items of two lists."""
    mine, theirs = ([_plain(item) for item in items] for items in (ours, wanted))
    # equal leaves are paired with one another; only what has leaves inside needs an assignment
    equal = (Counter(mine) & Counter(theirs)).total() - min(mine.count(None), theirs.count(None))
    rows = [item for item, plain in zip(ours, mine, strict=True) if plain is None]
    columns = [item for item, plain in zip(wanted, theirs, strict=True) if plain is None]
    return equal + _assigned([[_shared(row, column) for column in columns] for row in rows])


def _assigned(shared: Sequence[Sequence[int]]) -> int:
    """The largest sum of entries of which no two are in one row or one column."""
    if not shared or not shared[0]:
        return 0
    if len(shared) == 1 or len(shared[0]) == 1:
        return max(max(row) for row in shared)
    from scipy.optimize import linear_sum_assignment  # takes a while, and many data sets have no lists

    rows, columns = linear_sum_assignment(shared, maximize=True)
    return sum(shared[row][column] for row, column in zip(rows, columns, strict=True))
