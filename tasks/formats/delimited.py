"""Delimited text with a header: CSV and TSV. The separator is the one that the header has most of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from tasks.example import DataProblems
from tasks.formats.file_format import FileFormat, decoded, lines_of, not_utf8, wide_encoding
from tasks.readings import Flaw

_SEPARATORS = ",\t;|"
_LONGEST_CELL = 2**31 - 1
_NUL = "NUL character: the file is damaged, or UTF-16; save it as UTF-8"
_SAID = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)
"""The first line of a table that names its separator, `sep=;`, as Excel reads it."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How cells are written.

    Attributes:
        separator: between cells.
        spaced: whether a space follows it, as in `text, label`.
    """

    separator: str
    spaced: bool


def _rows(data: bytes) -> Iterator[tuple[int, object]]:
    nul = -1 if wide_encoding(data) else data.find(b"\0")
    text = decoded(data[:nul] if nul >= 0 else data)
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise DataProblems([f"{line}: {_NUL}"])
    return _table(io.StringIO(text, newline=""))


def _stream(file: BinaryIO) -> Iterator[tuple[int, object]]:
    first = file.readline()
    if wide := wide_encoding(first):
        raise DataProblems([f" {wide}"])
    return _table(_decoded(chain([first], file)))


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


def _table(lines: Iterable[str]) -> Iterator[tuple[int, object]]:
    csv.field_size_limit(_LONGEST_CELL)
    counted = iter(lines)
    before, first, said = _beginning(counted)
    dialect = _dialect_of(first, said)
    reader = csv.reader(
        chain([first], counted), delimiter=dialect.separator, skipinitialspace=dialect.spaced, strict=True
    )
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataProblems([f"{before + 1}: {_broken(str(error))}"]) from error
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise DataProblems(
            [
                f'{before + 1}: the column "{repeated[0]}" appears twice in the header; give each column a name of its own'
            ]
        )
    return _cells(reader, _named(header), before)


def _beginning(lines: Iterator[str]) -> tuple[int, str, str]:
    """The number of lines before the header, the header's first line, and the separator that a line before it says."""
    said, before = "", 0
    for line in lines:
        match = _SAID.fullmatch(line)
        if match and not said:
            said = match[1]
        elif line.strip():
            return before, line, said
        before += 1
    return before, "", said


def _named(header: list[str]) -> list[str]:
    """Names for all columns: one without a name, as that of an index, is called by its place."""
    names = list(header)
    for place, name in enumerate(header, 1):
        if not name:
            called = f"column {place}"
            while called in names:
                called = f"unnamed {called}"
            names[place - 1] = called
    return names


def _cells(reader: Any, header: list[str], before: int) -> Iterator[tuple[int, object]]:
    while True:
        number = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, Flaw(_broken(str(error)))
            continue  # in the line after that with the mistake
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != len(header):
            has = f"{len(cells)} cell" if len(cells) == 1 else f"{len(cells)} cells"
            yield (
                number,
                Flaw(f"has {has}, the header has {len(header)}{_shown(header)}; quote cells that hold the separator"),
            )
        else:
            # an empty cell is a missing value
            yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _broken(error: str) -> str:
    if error == "unexpected end of data":
        return (
            "a quotation mark opens here and is never closed; close it, or write a quotation mark inside quotes twice"
        )
    if error.endswith("expected after '\"'"):
        error = "text follows the quotation mark that ends a cell"
    return f"{error}; write a quotation mark inside quotes twice, and quote a cell that begins with one"


def _shown(header: list[str]) -> str:
    """A header of one column, which is often a line above the header or another separator."""
    return f" ({header[0][:_SHOWN]})" if len(header) == 1 else ""


def _dialect_of(header: str, said: str) -> _Dialect:
    """How cells are written, by the first line of the header."""
    separator = said or max(_SEPARATORS, key=header.count)
    return _Dialect(separator, separator != "\t" and 0 < header.count(separator) == header.count(f"{separator} "))


FORMAT = FileFormat("delimited text", lambda data: True, _rows, stream=_stream)
