"""Checks that the rows of every source must pass, and their messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.doubts import (
    contradictions,
    counted,
    doubtful_labels,
    repeated_rows,
    shared_prompts,
    unknown_keys,
    unmatched_labels,
)
from tasks.example import DataProblems, Example, RawSplits
from tasks.printable import printable
from tasks.readings import Flaw, Origin, Reading
from tasks.suggest import closest

KEYS = ("prompt", "completion", "label", "kind")
FEWEST_ROWS = 8
"""Minimum number of rows in train and in validation."""
FAULTS_SHOWN = 20
"""Maximum number of bad rows reported one by one per split; the others are counted."""
_ROLES = ("system", "user", "assistant")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_rows(origin: Origin, rows: Iterable[tuple[int, object]], warnings: tuple[str, ...] = ()) -> Reading:
    """Checks the numbered rows of a split; a `Flaw` stands for a row that could not be read."""
    good: list[tuple[int, Example]] = []
    flaws: list[str] = []
    unknown: Counter[str] = Counter()
    for number, value in rows:
        result = value if isinstance(value, Flaw) else examine(value)
        if isinstance(result, Flaw):
            flaws.append(f"{origin.at(number)}: {result.text}")
        else:
            good.append((number, result))
        if isinstance(value, dict):
            unknown.update(str(key) for key in value if key not in KEYS)
    count = len(good) + len(flaws)
    return Reading(origin, tuple(good), count, tuple(_first(flaws, origin, count)), warnings, tuple(unknown.items()))


def _first(flaws: Sequence[str], origin: Origin, count: int) -> Iterator[str]:
    yield from flaws[:FAULTS_SHOWN]
    if len(flaws) > FAULTS_SHOWN:
        yield f"{origin.path}: ... and {len(flaws) - FAULTS_SHOWN} more of {count} rows with faults"


def examine(row: object) -> Example | Flaw:
    """Returns a decoded row as an example, or all its faults; an example of somebody's own code is checked as a row."""
    if isinstance(row, Example):
        faults = [*(fault for key in KEYS for fault in _faults(row.as_row(), key)), *_wrong_history(row.history)]
        if row.group is not None and not isinstance(row.group, str):
            faults.append(f"group must be text or None, not {_type_name(row.group)}")
        return Flaw("; ".join(faults)) if faults else replace(row, history=tuple(row.history))
    if not isinstance(row, dict):
        return Flaw(f'a row must be an object like {{"prompt": "...", "completion": "..."}}, not {_type_name(row)}')
    faults = [fault for key in KEYS for fault in _faults(row, key)]
    if faults:
        return Flaw("; ".join(faults))
    return Example(row["prompt"], row["completion"], row.get("label"), row.get("kind"))


def read_examples(origin: Origin, rows: Iterable[tuple[int, Sequence[Example] | Flaw]]) -> Reading:
    """Checks the examples that were made of the numbered rows of a split, one or more of each."""
    good: list[tuple[int, Example]] = []
    flaws: list[str] = []
    for number, examples in rows:
        result = checked(examples)
        if isinstance(result, Flaw):
            flaws.append(f"{origin.at(number)}: {result.text}")
        else:
            good.extend((number, example) for example in result)
    count = len(good) + len(flaws)
    return Reading(origin, tuple(good), count, tuple(_first(flaws, origin, count)))


def checked(examples: Sequence[Example] | Flaw) -> Sequence[Example] | Flaw:
    """The examples of a row if all can be used, else all their faults."""
    if isinstance(examples, Flaw) or all(map(_is_sound, examples)):
        return examples
    faults = [fault for example in examples for key in KEYS for fault in _faults(example.as_row(), key)]
    return Flaw("; ".join(dict.fromkeys(faults))) if faults else examples


def _is_sound(example: Example) -> bool:
    """Whether an example has no fault; the usual case, in a fraction of the time that it takes to name faults."""
    return all(
        type(text) is str
        and "\0" not in text
        and bool(text.strip())
        and (text.isascii() or not _SURROGATE.search(text))
        for text in (example.prompt, example.completion, example.label, example.kind)
        if text is not None
    ) and not (example.prompt is None or example.completion is None)


def assemble(
    train: Reading, validation: Reading, test: Reading, warnings: Iterable[str] = (), understood: Iterable[str] = ()
) -> RawSplits:
    """Combines three splits and checks them against each other.

    Args:
        warnings: warnings of the source.
        understood: how the source was understood.

    Raises:
        DataProblems: lists the problems of each split and between splits.
    """
    readings = (train, validation, test)
    problems = [problem for reading in readings for problem in reading.problems]
    problems += _too_few(train, FEWEST_ROWS) + _too_few(validation, FEWEST_ROWS) + _too_few(test, 1)
    problems += contained(train, validation) + contained(train, test)
    if problems:
        raise DataProblems(problems)
    notes = list(warnings)
    for reading in readings:
        notes += [*reading.warnings, *repeated_rows(reading), *contradictions(reading)]
    for first, second in ((train, validation), (train, test), (validation, test)):
        notes += shared_prompts(first, second)
    notes += unknown_keys(readings) + (unmatched_labels(readings) or doubtful_labels(readings))
    return RawSplits(
        train.examples,
        validation.examples,
        test.examples,
        tuple(map(printable, notes)),
        tuple(map(printable, understood)),
    )


def _faults(row: Mapping[Any, object], key: str) -> Iterator[str]:
    required = key in ("prompt", "completion")
    remedy = "give it text or leave the row out" if required else "give it text or leave it out"
    value = row.get(key)
    if key not in row:
        if required:
            yield _missing(row, key)
    elif isinstance(value, (int, float)):
        yield f'"{key}" must be text, not {_type_name(value)}; write it in quotation marks'
    elif not isinstance(value, str):
        if required or value is not None:
            yield f'"{key}" must be text, not {_type_name(value)}; {remedy}'
    elif not value.strip():
        yield f'"{key}" is empty; {remedy}'
    elif "\0" in value:
        yield f'"{key}" holds a NUL character (\\u0000); remove it'
    elif not value.isascii() and _SURROGATE.search(value):
        yield f'"{key}" holds half of a surrogate pair (\\ud800 to \\udfff), which is not valid text; remove it'


def _wrong_history(history: object) -> Iterator[str]:
    turns = history if isinstance(history, list | tuple) else [history]
    if not all(
        isinstance(turn, tuple)
        and len(turn) == 2
        and turn[0] in _ROLES
        and isinstance(turn[1], str)
        and turn[1].strip()
        for turn in turns
    ):
        yield f"history must be pairs of a role ({', '.join(_ROLES[:-1])} or {_ROLES[-1]}) and a text"
    elif any(turn[0] == "system" for turn in list(turns)[1:]):
        yield "history may have one system message, at its beginning"


def _missing(row: Mapping[Any, object], key: str) -> str:
    if "messages" in row or "conversations" in row:
        return f'no "{key}": the row is a chat, which task=data reads; or write what the user says as "prompt", the answer as "completion"'
    others = [str(other) for other in row if other not in ("prompt", "completion")]
    meant = closest(key, others)
    if meant:
        return f'no "{key}"; did you mean "{meant}"? rename it to "{key}"'
    return f'no "{key}"; the keys are {", ".join(sorted(map(str, row))) or "none"}'


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    name = names.get(type(value), f"a {type(value).__name__}")
    return f"{name} ({value})" if isinstance(value, (bool, int, float)) else name


def _too_few(reading: Reading, fewest: int) -> list[str]:
    if reading.count >= fewest or (reading.problems and not reading.count):
        return []
    had = f"has {counted(reading.count, 'row')}" if reading.count else "is empty"
    remedy = f". {reading.remedy}" if reading.remedy else ""
    return [f"{reading.origin.path}: {had}; at least {counted(fewest, 'row')} needed{remedy}"]


def contained(train: Reading, other: Reading) -> list[str]:
    """The problem that all that a split asks is in train; empty if not."""
    trained = {example.asked for _, example in train.rows}
    if not other.rows or not all(example.asked in trained for _, example in other.rows):
        return []
    return [
        f"{other.origin.path}: every prompt is in {train.origin.path} too, so scores on it would say nothing about "
        "unseen data; take these rows out of one of the two"
    ]
