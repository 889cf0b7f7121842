"""Delimited text with a header: CSV and TSV. The separator is the one that the header has most of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

from tasks.checks import Flaw
from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, decoded, lines_of, not_utf8, wide_encoding

_SEPARATORS = ",\t;|"
_LONGEST_CELL = 2**31 - 1
_NUL = "NUL character; the file is damaged"


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    text = decoded(data)
    if "\0" in text:
        raise DataProblems([f"{text.count(chr(10), 0, text.index(chr(0))) + 1}: {_NUL}"])
    return _table(io.StringIO(text, newline=""), separator_of(text))


def _stream(file: BinaryIO) -> Iterator[tuple[int, object]]:
    first = file.readline()
    if wide := wide_encoding(first):
        raise DataProblems([f" {wide}"])
    lines = _decoded(chain([first], file))
    begun: list[str] = []
    for line in lines:  # the header follows any empty lines
        begun.append(line)
        if line.strip():
            break
    return _table(chain(begun, lines), separator_of("".join(begun)))


def _decoded(file: Iterable[bytes]) -> Iterator[str]:
    start = 0
    for number, line in enumerate(lines_of(file), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataProblems([f"{number}: {not_utf8(line, error.start, start + error.start)}"]) from error
        if "\0" in text:
            raise DataProblems([f"{number}: {_NUL}"])
        start += len(line)
        yield text


def _table(lines: Iterable[str], separator: str) -> Iterator[tuple[int, object]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataProblems([f"1: {error}"]) from error
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated or not all(header):
        what = f'the column "{repeated[0]}" appears twice' if repeated and repeated[0] else "a column has no name"
        raise DataProblems([f"1: {what} in the header; give each column a name of its own"])
    return _cells(reader, header)


def _cells(reader: Any, header: list[str]) -> Iterator[tuple[int, object]]:
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, Flaw(f"{error}; write a quotation mark inside quotes twice")
            return
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != len(header):
            has = f"{len(cells)} cell" if len(cells) == 1 else f"{len(cells)} cells"
            yield number, Flaw(f"has {has}, the header has {len(header)}; quote cells that hold the separator")
        else:
            # an empty cell is a missing value
            yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def separator_of(text: str) -> str:
    """The separator of the first line."""
    header = text.lstrip().partition("\n")[0]
    return max(_SEPARATORS, key=header.count)


FORMAT = FileFormat("delimited text", lambda data: True, _rows, stream=_stream)
