"""JSON lines: one JSON object on each line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

from tasks.checks import Flaw
from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, not_utf8, wide_encoding, without_mark

BLANK = object()
"""Stands for a line without text."""


def lines(data: bytes) -> Iterator[tuple[int, object]]:
    """Number of each line with its decoded row, a `Flaw`, or `BLANK`."""
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    for number, line in enumerate(data[start:].splitlines(keepends=True), 1):
        yield number, _decoded(line, start)
        start += len(line)


def without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON.

    Raises:
        ValueError: a key appears twice.
    """
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'the key "{next(name for name in names if names.count(name) > 1)}" appears twice; keep one')
    return row


def _decoded(line: bytes, start: int) -> object:
    """The row on a line that starts at byte `start` of the file."""
    if b"\0" in line:
        return Flaw(f"NUL byte at byte {start + line.index(0)} of the file: it is damaged, or UTF-16; save it as UTF-8")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Flaw(not_utf8(line, error.start, start + error.start))
    if not text.strip():
        return BLANK
    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        return Flaw(f"invalid JSON at column {error.colno}: {error.msg}; a row is one JSON object on one line")
    except RecursionError:
        return Flaw("invalid JSON: nested too deeply; a row is one flat JSON object")
    except ValueError as error:
        return Flaw(f"invalid JSON: {error}")


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    if wide := wide_encoding(data):
        raise DataProblems([f" {wide}"])
    return (line for line in lines(data) if line[1] is not BLANK)


FORMAT = FileFormat("JSON lines", lambda data: without_mark(data).lstrip()[:1] == b"{", _rows)
