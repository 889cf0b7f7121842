"""Loads data of any known format: a file, or a folder with files for the splits. Formats are detected by content (`tasks.formats`).

Files are only read. Splits that are not there are drawn from the rows of train by a hash of what each asks, or of its group.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tasks import data_files
from tasks.carving import carve
from tasks.checks import assemble, contained, read_examples
from tasks.example import DataProblems, Example, RawSplits
from tasks.formats import FILES, FileFormat, delimited
from tasks.formats.file_format import without_mark
from tasks.formats.foreign import foreign
from tasks.formats.row_format import type_in_words
from tasks.printable import printable
from tasks.readings import Flaw, JoinedOrigin, Origin, Reading
from tasks.understanding import Columns, Meaning, examples_of_row, understood
from tasks.unknown_columns import quoted

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
READING_ERRORS = (OSError, EOFError, zlib.error)
"""What reading and unpacking a file may raise."""
SEEN = 100
"""Rows whose columns are looked at, to understand a format."""
_FEW = 3
"""Wrong rows that are shown where no row is right."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read: its rows with their numbers, or a `Flaw`."""

    path: Path
    format: FileFormat
    rows: tuple[tuple[int, object], ...] = ()
    compression: str = ""


def load(path: Path, columns: Columns | None = None) -> RawSplits:
    """Reads a file, or the files of a folder that are named after the splits, and draws the splits that are not there.

    Raises:
        DataProblems: lists the problems of all files, by line.
    """
    columns = columns or Columns()
    read, meaning, readings = _read(Path(path), columns)
    drawn = []
    given = [readings[role] for role in ("validation", "test") if role in readings]
    if problems := [text for reading in given for text in contained(readings["train"], reading)]:
        raise DataProblems(problems)
    for role in ("validation", "test"):
        if role not in readings:
            readings["train"], readings[role] = carve(readings["train"], role)
            drawn.append(role)
    note = _in_words(Path(path), read, meaning, columns, readings, drawn)
    return assemble(readings["train"], readings["validation"], readings["test"], understood=[note])


def examples_of(path: Path, columns: Columns | None = None) -> tuple[str, tuple[Example, ...]]:
    """The name of the format of rows, and the examples of all files, however few.

    Raises:
        DataProblems: as `load`, as far as rows are concerned.
    """
    _, meaning, readings = _read(Path(path), columns or Columns())
    return meaning.format.title, tuple(example for reading in readings.values() for example in reading.examples)


def _read(path: Path, columns: Columns) -> tuple[dict[str, list[File]], Meaning, dict[str, Reading]]:
    """The files of each split, what their rows mean, and the examples."""
    try:
        path = path.expanduser()
        files = data_files.files_of(path)
    # RuntimeError: the user in `~user` does not exist
    except (OSError, RuntimeError) as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    problems: list[str] = []
    read: dict[str, list[File]] = {}
    for split, paths in files.items():
        for each in paths:
            try:
                file = _read_file(each)
            except DataProblems as error:
                problems += error.problems
            else:
                read.setdefault(split, []).append(file)
    if not read:
        raise DataProblems(problems)
    try:
        meaning = meaning_of(path, [file for several in read.values() for file in several], columns)
    except DataProblems as error:
        raise DataProblems([*problems, *error.problems]) from error
    readings = {split: _joined(several, meaning, columns) for split, several in read.items()}
    problems += [problem for reading in readings.values() for problem in reading.problems]
    if problems:
        raise DataProblems(problems)
    return read, meaning, readings


def _read_file(path: Path) -> File:
    try:
        data, compression = _content(path)
    except READING_ERRORS as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    if not without_mark(data).strip():
        raise DataProblems([f"{path}: is empty"])
    if what := foreign(data):
        raise DataProblems([f"{path}: {what}"])
    form = format_of(data)
    try:
        return File(path, form, tuple(form.rows(data)), compression)
    except DataProblems as error:
        # the problems follow the name, with a line or without
        raise DataProblems([f"{path}:{problem}" for problem in error.problems]) from error


def format_of(data: bytes) -> FileFormat:
    """How this content of a file holds rows."""
    return next(form for form in FILES if form.fits(data))


def _content(path: Path) -> tuple[bytes, str]:
    """The content of a file, decompressed, and how it was compressed."""
    data = path.read_bytes()
    if data.startswith(GZIP):
        return gzip.decompress(data), "gzip"
    if data.startswith(ZSTD):
        from pyarrow import BufferReader, CompressedInputStream

        with CompressedInputStream(BufferReader(data), "zstd") as stream:
            return bytes(stream.read()), "zstd"
    return data, ""


def meaning_of(path: Path, files: Sequence[File], columns: Columns, every: Collection[object] | None = None) -> Meaning:
    """What the rows of files mean.

    Args:
        every: the columns of all rows, if the files hold only their first ones.

    Raises:
        DataProblems: they are of no known format.
    """
    first = [row for file in files for _, row in file.rows[:SEEN] if isinstance(row, dict)][:SEEN]
    if not first:
        raise DataProblems(problem for file in files for problem in _no_row(file))
    if every is None:
        every = {key for file in files for _, row in file.rows if isinstance(row, dict) for key in row}
    table = any(file.format is delimited.FORMAT for file in files)
    hint = "the first line of a table must name its columns" if table else ""
    meaning = understood(str(path), first, every, columns, hint)
    if problems := [problem for file in files[1:] for problem in _lacking(file, files[0], meaning)]:
        raise DataProblems(problems)
    return meaning


def _no_row(file: File) -> Iterator[str]:
    """Why a file has no usable row: the first few reasons."""
    for number, row in file.rows[:_FEW]:
        yield f"{file.path}{file.format.separator}{number}: {row.text if isinstance(row, Flaw) else _not_an_object(row)}"
    seen = len(file.rows[:SEEN])
    if seen > _FEW:
        yield f"{file.path}: none of the {'first ' if seen == SEEN else ''}{seen} rows can be used"
    elif not seen:
        yield f"{file.path}: has no rows{' below its header' if file.format is delimited.FORMAT else ''}"


def _lacking(file: File, first: File, meaning: Meaning) -> Iterator[str]:
    """The columns that a file has not, of those that rows need."""
    rows = [row for _, row in file.rows[:SEEN] if isinstance(row, dict)]
    has = dict.fromkeys(str(key) for row in rows for key in row)
    columns = [meaning.columns[role] for role in meaning.format.needed]
    missing = [f'"{column}"' for column in dict.fromkeys(columns) if column not in has]
    if rows and missing:
        yield (
            f"{file.path}: its rows have no {' and no '.join(missing)}, by which {first.path.name} is understood "
            f"({meaning.format.title}); they have {', '.join(map(quoted, has)) or 'no columns'}. Name the columns alike in all files, or "
            "leave this file out"
        )


def _joined(files: Sequence[File], meaning: Meaning, columns: Columns) -> Reading:
    """The examples of a split's files."""
    readings = [_examples(file, meaning, columns) for file in files]
    if len(readings) == 1:
        return readings[0]
    starts = [0, *accumulate(max((number for number, _ in file.rows), default=0) for file in files)]
    origin = JoinedOrigin(
        str(files[0].path.parent),
        f"{files[0].path.name}, ...",
        parts=tuple(zip(starts, (reading.origin for reading in readings), strict=False)),
    )
    return Reading(
        origin,
        tuple(
            (start + number, example)
            for start, reading in zip(starts, readings, strict=False)
            for number, example in reading.rows
        ),
        sum(reading.count for reading in readings),
        tuple(problem for reading in readings for problem in reading.problems),
    )


def _examples(file: File, meaning: Meaning, columns: Columns) -> Reading:
    origin = Origin(str(file.path), file.path.name, file.format.separator)
    return read_examples(origin, examples_made(file.rows, meaning, columns))


def examples_made(
    rows: Iterable[tuple[int, object]], meaning: Meaning, columns: Columns
) -> Iterator[tuple[int, Sequence[Example] | Flaw]]:
    """The examples of each numbered row, or what is wrong with it."""
    for number, row in rows:
        if isinstance(row, Flaw):
            yield number, row
        elif not isinstance(row, dict):
            yield number, Flaw(_not_an_object(row))
        else:
            yield number, examples_of_row(row, meaning, columns)


def _not_an_object(row: object) -> str:
    return f"a row must be an object with named values, not {type_in_words(row)}"


def _in_words(
    path: Path,
    read: Mapping[str, Sequence[File]],
    meaning: Meaning,
    columns: Columns,
    readings: Mapping[str, Reading],
    drawn: Sequence[str],
) -> str:
    """One line: the formats, the columns, and what was made of the rows."""
    files = [file for several in read.values() for file in several]
    rows = sum(len(file.rows) for file in files)
    examples = sum(reading.count for reading in readings.values())
    made = f"{rows:,} rows" + (f" make {examples:,} examples, one for each answer" if examples != rows else "")
    counts = ", ".join(f"{len(readings[split].rows):,} {split}" for split in data_files.SPLITS)
    how = drawn_in_words(drawn, columns)
    named = {split: [file.path for file in several] for split, several in read.items()}
    return f"{formats_in_words(path, files, meaning)}{data_files.in_words(named)}; {made}: {counts}{how}"


def formats_in_words(path: Path, files: Sequence[File], meaning: Meaning) -> str:
    """The formats of the files and of their rows."""
    titles = " and ".join(
        dict.fromkeys(file.format.title + (f" ({file.compression})" if file.compression else "") for file in files)
    )
    return f"{printable(path.name)}: {titles}, read as {meaning.in_words()}"


def drawn_in_words(drawn: Sequence[str], columns: Columns) -> str:
    """`; validation and test drawn from train by content`, or nothing."""
    by = f" (by {printable(columns.group)})" if columns.group else ""
    return f"; {' and '.join(drawn)} drawn from train by content{by}" if drawn else ""
