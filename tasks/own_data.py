"""Loads data of any known format: a file, or a folder with files for the splits. Formats are detected by content (`tasks.formats`).

Files are only read. Splits that are not there are drawn from the rows of train by a hash of what each asks, or of its group.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.carving import carve
from tasks.checks import Flaw, Origin, Reading, assemble, read_examples
from tasks.example import DataProblems, Example, RawSplits
from tasks.formats import FILES, FileFormat
from tasks.suggest import did_you_mean
from tasks.understanding import Columns, Meaning, examples_of_row, understood

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
COMPRESSED = (".gz", ".zst")
_SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "heldout", "holdout"),
}
_NAMED = re.compile(r"(?P<stem>[a-z]+)(?:[-_.].*)?", re.IGNORECASE)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
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
        files = files_of(path)
    # RuntimeError: the user in `~user` does not exist
    except (OSError, RuntimeError) as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    problems: list[str] = []
    read: dict[str, list[File]] = {}
    for split, paths in files.items():
        for each in paths:
            try:
                read.setdefault(split, []).append(_read_file(each))
            except DataProblems as error:
                problems += error.problems
    if problems:
        raise DataProblems(problems)
    meaning = meaning_of(path, [file for several in read.values() for file in several], columns)
    readings = {split: _joined(several, meaning, columns) for split, several in read.items()}
    if problems := [problem for reading in readings.values() for problem in reading.problems]:
        raise DataProblems(problems)
    return read, meaning, readings


def files_of(path: Path) -> Mapping[str, Sequence[Path]]:
    """The files of each split; a single file stands for train."""
    if path.is_file():
        return {"train": [path]}
    if not path.is_dir():
        folder = next(parent for parent in path.absolute().parents if parent.is_dir())
        names = sorted(entry.name for entry in folder.iterdir())
        missing = path.absolute().relative_to(folder).parts[0]
        has = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
        raise DataProblems(
            [f"{path}: there is no such file or folder{did_you_mean(missing, names)}; {folder} has {has or 'nothing'}"]
        )
    known = [entry for entry in sorted(path.iterdir()) if entry.is_file() and _ending(entry) in ENDINGS]
    found: dict[str, list[Path]] = {}
    for entry in known:
        named = _NAMED.match(entry.name)
        for split, stems in _SPLITS.items():
            if named and named["stem"].casefold() in stems:
                found.setdefault(split, []).append(entry)
    if not found and len(known) == 1:
        return {"train": known}
    if "train" not in found:
        listed = ", ".join(entry.name for entry in known[:12]) or "none"
        raise DataProblems(
            [
                f"{path}: no file is named after train ({', '.join(f'train{ending}' for ending in ENDINGS[:4])}, ...); files of "
                f"known formats: {listed}. Give one of them as task.path, or name one train"
            ]
        )
    return {split: found[split] for split in _SPLITS if split in found}


def _ending(path: Path) -> str:
    inner = path.with_suffix("") if path.suffix.casefold() in COMPRESSED else path
    return inner.suffix.casefold()


def _read_file(path: Path) -> File:
    try:
        data, compression = _content(path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    if not data.strip():
        raise DataProblems([f"{path}: is empty"])
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
        flaws = [
            f"{file.path}{file.format.separator}{number}: {row.text}"
            for file in files
            for number, row in file.rows[:_FEW]
            if isinstance(row, Flaw)
        ]
        raise DataProblems(flaws or [f"{files[0].path}: has no rows with named columns"])
    if every is None:
        every = {key for file in files for _, row in file.rows if isinstance(row, dict) for key in row}
    return understood(str(path), first, every, columns)


def _joined(files: Sequence[File], meaning: Meaning, columns: Columns) -> Reading:
    """The examples of a split's files."""
    readings = [_examples(file, meaning, columns) for file in files]
    if len(readings) == 1:
        return readings[0]
    origin = Origin(str(files[0].path.parent), f"{files[0].path.name}, ...", " example ")
    rows = tuple(row for reading in readings for row in reading.rows)
    return Reading(
        origin,
        tuple((number, example) for number, (_, example) in enumerate(rows, start=1)),
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
            yield number, Flaw(f"a row must be an object with named values, not {type(row).__name__}")
        else:
            yield number, examples_of_row(row, meaning, columns)


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
    counts = ", ".join(f"{len(readings[split].rows):,} {split}" for split in _SPLITS)
    how = drawn_in_words(drawn, columns)
    return f"{formats_in_words(path, files, meaning)}; {made}: {counts}{how}"


def formats_in_words(path: Path, files: Sequence[File], meaning: Meaning) -> str:
    """The formats of the files and of their rows."""
    titles = " and ".join(
        dict.fromkeys(file.format.title + (f" ({file.compression})" if file.compression else "") for file in files)
    )
    return f"{path.name}: {titles}, read as {meaning.in_words()}"


def drawn_in_words(drawn: Sequence[str], columns: Columns) -> str:
    """`; validation and test drawn from train by content`, or nothing."""
    by = f" (by {columns.group})" if columns.group else ""
    return f"; {' and '.join(drawn)} drawn from train by content{by}" if drawn else ""
