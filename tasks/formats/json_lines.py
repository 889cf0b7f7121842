"""JSON lines: one JSON object on each line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, lines_of, not_utf8, wide_encoding, without_mark
from tasks.readings import Flaw

_SEEN = 1 << 16
"""Bytes in which the second and the third line are looked for."""

BLANK = object()
"""Stands for a line without text."""

A_ROW = '{"prompt": "...", "completion": "..."}'
"""A row, for messages."""


def lines(data: bytes) -> Iterator[tuple[int, object]]:
    """Number of each line with its decoded row, a `Flaw`, or `BLANK`."""
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    yield from _numbered(data[start:].splitlines(keepends=True), start)


def streamed_lines(file: BinaryIO) -> Iterator[tuple[int, object]]:
    """As `lines`, from an open file, a line in memory at a time."""
    first = file.readline()
    start = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
    yield from _numbered(lines_of(chain([first], file)), start)


def _numbered(every: Iterable[bytes], start: int) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(every, 1):
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


_DECODER = json.JSONDecoder(object_pairs_hook=without_repeats)


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
        # json.loads would make a decoder for each line; it also has words of its own for a mark inside the file
        return _DECODER.decode(text) if text[0] != "\ufeff" else json.loads(text)
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


def _stream(file: BinaryIO) -> Iterator[tuple[int, object]]:
    return (line for line in streamed_lines(file) if line[1] is not BLANK)


def _fits(data: bytes) -> bool:
    """Whether the first line is an object, or the next two are: then the first one is a mistake."""
    start = without_mark(data).lstrip()
    following = start[:_SEEN].splitlines()[1:3]
    return start[:1] == b"{" or (
        len(following) == 2 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in following)
    )


FORMAT = FileFormat("JSON lines", _fits, _rows, stream=_stream)
