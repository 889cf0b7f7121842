"""How a file holds rows."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tasks.example import DataProblems

# UTF-32 first, because its little-endian mark starts with that of UTF-16
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file holds rows.

    Attributes:
        title: its name in a sentence.
        fits: whether the content of a file (decompressed) is in this format.
        rows: the rows with their numbers; a `Flaw` stands for one that cannot be read. Raises `DataProblems`, whose problems follow
            the file's name, if the file as a whole cannot be read.
        separator: between a file's name and the number of a row.
        stream: as `rows`, from an open file (decompressed), with a few rows in memory at a time; None if the format has no such way.
    """

    title: str
    fits: Callable[[bytes], bool]
    rows: Callable[[bytes], Iterable[tuple[int, object]]]
    separator: str = ":"
    stream: Callable[[BinaryIO], Iterable[tuple[int, object]]] | None = None


def lines_of(file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an open file, with their ends and without UTF-8's byte order mark; divided where `bytes.splitlines` divides them."""
    first = True
    for line in file:
        text = without_mark(line) if first else line
        first = False
        if b"\r" in text:
            yield from text.splitlines(keepends=True)
        else:
            yield text


def without_mark(data: bytes) -> bytes:
    """Without UTF-8's byte order mark."""
    return data.removeprefix(codecs.BOM_UTF8)


def wide_encoding(data: bytes) -> str | None:
    """Describes an encoding of wide characters, by its mark; None if the content has none."""
    for mark, encoding in _WIDE_MARKS.items():
        if data.startswith(mark):
            return (
                f"is {encoding}, by its byte order mark at byte 0, line 1; save it as UTF-8, for instance with "
                f"iconv -f {encoding} -t UTF-8"
            )
    return None


def decoded(data: bytes) -> str:
    """The whole content as text.

    Raises:
        DataProblems: it is not UTF-8; names the line and the byte.
    """
    if wide := wide_encoding(data):
        raise DataProblems([f" {wide}"])
    data = without_mark(data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        end = data.find(b"\n", error.start)
        line = data[start : end if end >= 0 else None]
        number = data.count(b"\n", 0, error.start) + 1
        raise DataProblems([f"{number}: {not_utf8(line, error.start - start, error.start)}"]) from error


def not_utf8(line: bytes, column: int, position: int) -> str:
    """Describes a byte that is not UTF-8, and the encoding that it looks like.

    Args:
        column: of the byte in the line.
        position: of the byte in the file.
    """
    byte = line[column]
    # bytes that are letters and quotation marks in Windows-1252 are unusual control characters in Latin-1
    is_windows = any(0x80 <= other <= 0x9F for other in line)
    name, encoding = ("Windows-1252", "WINDOWS-1252") if is_windows else ("Latin-1 (ISO-8859-1)", "ISO-8859-1")
    character = line[column : column + 1].decode(encoding, errors="replace")
    return (
        f"not UTF-8 at byte {position} of the file (0x{byte:02x}); it looks like {name}, where this is "
        f'"{character}": save the file as UTF-8, for instance with iconv -f {encoding} -t UTF-8'
    )
