"""The rows of a task, one after another: for looking at data of any size before it is used.

Files are read by the same formats and checked by the same rules as when they are loaded, but a few rows at a time. What has no other
way (a JSON list, Parquet inside gzip) is read as a whole, file by file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from tasks import data_files, jsonl
from tasks.carving import CARVED_SHARE
from tasks.checks import checked, examine
from tasks.example import DataProblems, Example, RawSplits
from tasks.formats import FileFormat, json_lines
from tasks.formats.file_format import without_mark
from tasks.formats.foreign import foreign
from tasks.own_data import (
    GZIP,
    READING_ERRORS,
    SEEN,
    ZSTD,
    File,
    drawn_in_words,
    examples_made,
    format_of,
    formats_in_words,
    meaning_of,
)
from tasks.readings import Flaw, Origin
from tasks.sensitive import masked
from tasks.splits import place, side_of
from tasks.understanding import Columns

PARTS = ("train", "tune", "certify", "test")
SPLITS = ("train", "validation", "test")

_HEAD = 1 << 20
"""Bytes by which the format of a larger file is recognized."""


class Unreadable(Flaw):
    """What is wrong with a file as a whole, or with all that follows; `text` begins with its name."""


Row = tuple[int, int, Example | Flaw]
"""The index of its source, its number there, and the example, or what is wrong with the row."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: a file, or a split in memory."""

    split: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class RowStream:
    """The rows of a task.

    Attributes:
        rows: reads all of them once.
        understood: how the source was understood, and warnings about it.
        drawn: the splits that are drawn from the rows of train, in this order.
        share: the share of all bytes that has been read.
    """

    sources: tuple[Source, ...]
    rows: Callable[[], Iterator[Row]]
    understood: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    share: Callable[[], float] = lambda: 0.0

    def part(self, source: int, example: Example, tune_fraction: float) -> str:
        """The part of the data that an example is in: one of PARTS. The same as after loading (`tasks.carving`, `tasks.splits`)."""
        split = self.sources[source].split
        if split == "train" and self.drawn:
            side = side_of(example)
            split = next((role for role in self.drawn if place(side, salt=role) < CARVED_SHARE), split)
        if split == "validation":
            return "tune" if place(side_of(example), salt="tune") < tune_fraction else "certify"
        return split


def of_splits(name: str, raw: RawSplits) -> RowStream:
    """The rows of splits in memory."""
    splits = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    sources = tuple(Source(split, Origin(f"{name} {split}", split, " example ")) for split in splits)
    done = _Position(sum(map(len, splits.values())))

    def rows() -> Iterator[Row]:
        for index, examples in enumerate(splits.values()):
            for number, example in enumerate(examples, start=1):
                done.before += 1
                yield index, number, example

    understood = (*raw.notes, *map(masked, raw.warnings))
    return RowStream(sources, rows, understood, share=done.share)


def of_jsonl(path: Path) -> RowStream:
    """The rows of a folder with a file of JSON lines for each split (`tasks.jsonl`).

    Raises:
        DataProblems: there is no such folder.
    """
    folder = _expanded(path)
    if not folder.is_dir():
        raise DataProblems([jsonl.no_folder(folder)])
    files = [folder / f"{split}.jsonl" for split in SPLITS]
    done = _Position(sum(file.stat().st_size for file in files if file.is_file()))

    def rows() -> Iterator[Row]:
        for index, (split, file) in enumerate(zip(SPLITS, files, strict=True)):
            if not file.is_file():
                yield index, 0, Unreadable(jsonl.no_file(folder, split))
                continue
            try:
                with file.open("rb") as opened, done.reading(opened):
                    head = opened.read(4096)
                    listed = without_mark(head).lstrip().startswith(b"[")
                    wrong = jsonl.wrong_form(file.read_bytes() if listed else head)
                    if wrong:
                        yield index, 0, Unreadable(f"{file}: {wrong}")
                        continue
                    opened.seek(0)
                    for number, value in json_lines.streamed_lines(opened):
                        if value is not json_lines.BLANK:
                            yield index, number, value if isinstance(value, Flaw) else examine(value)
            except OSError as error:
                yield index, 0, Unreadable(f"{file}: cannot be read: {error.strerror}")

    sources = tuple(Source(split, Origin(str(file), file.name)) for split, file in zip(SPLITS, files, strict=True))
    return RowStream(sources, rows, share=done.share)


def of_files(path: Path, columns: Columns | None = None) -> RowStream:
    """The rows of a file or folder of a known format (`tasks.own_data`).

    Raises:
        DataProblems: no file can be read, or their rows are of no known format.
    """
    columns = columns or Columns()
    path = _expanded(path)
    try:
        named = data_files.files_of(path)
    except OSError as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    splits = [(split, file) for split, several in named.items() for file in several]
    done = _Position(sum(file.stat().st_size for _, file in splits))
    broken: dict[Path, str] = {}
    first: dict[Path, File] = {}
    for _, file in splits:
        try:
            first[file] = _first_rows(file)
        except DataProblems as error:
            broken[file] = "; ".join(error.problems)
    if not first:
        raise DataProblems(broken.values())
    begun = list(first.values())
    meaning = meaning_of(path, begun, columns, _columns_of(begun, columns))
    drawn = tuple(split for split in SPLITS[1:] if split not in named)

    def rows() -> Iterator[Row]:
        for index, (_, file) in enumerate(splits):
            if file in broken:
                yield index, 0, Unreadable(broken[file])
                continue
            try:
                for number, value in examples_made(_rows_of(file, first[file].format, done), meaning, columns):
                    examples = checked(value)
                    if isinstance(examples, Flaw):
                        yield index, number, examples
                    else:
                        for example in examples:
                            yield index, number, example
            except DataProblems as error:
                yield index, 0, Unreadable("; ".join(error.problems))

    sources = tuple(
        Source(split, Origin(str(file), file.name, first[file].format.separator if file in first else ":"))
        for split, file in splits
    )
    words = f"{formats_in_words(path, begun, meaning)}{data_files.in_words(named)}{drawn_in_words(drawn, columns)}"
    return RowStream(sources, rows, (words,), drawn, done.share)


@dataclass(slots=True)
class _Position:
    """How far files have been read.

    Attributes:
        whole: bytes of all files, or rows.
        before: of those, in files that have been read.
    """

    whole: int
    before: int = 0
    _now: Callable[[], int] = field(default=lambda: 0)

    @contextmanager
    def reading(self, file: BinaryIO) -> Iterator[None]:
        """Counts this file, while it is read within the block."""
        size = os.fstat(file.fileno()).st_size
        self._now = file.tell
        try:
            yield
        finally:
            self._now = lambda: 0
            self.before += size

    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, (self.before + self._now()) / self.whole) if self.whole else 1.0


def _expanded(path: Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # the user in `~user` does not exist
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error


@contextmanager
def _decompressed(file: BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """The content of an open file, and how it is compressed."""
    head = file.read(len(ZSTD))
    file.seek(0)
    if head.startswith(GZIP):
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield cast(BinaryIO, io.BufferedReader(cast(Any, unzipped))), "gzip"
    elif head.startswith(ZSTD):
        from pyarrow import CompressedInputStream

        with CompressedInputStream(file, "zstd") as stream:
            yield cast(BinaryIO, io.BufferedReader(cast(Any, stream))), "zstd"
    else:
        yield file, ""


def _first_rows(path: Path) -> File:
    """A file with its first rows, in the format that its content has.

    Raises:
        DataProblems: it cannot be read.
    """
    with _explained(path):
        with path.open("rb") as file, _decompressed(file) as (stream, compression):
            head = stream.read(_HEAD)
            whole = len(head) < _HEAD
            if not whole and not _is_clear(head):
                head, whole = head + stream.read(), True
        if not without_mark(head).strip():
            raise DataProblems([" is empty"])
        if what := foreign(head):
            raise DataProblems([f" {what}"])
        form = format_of(head if whole else head[: head.rfind(b"\n") + 1] or head)
        with path.open("rb") as file, _decompressed(file) as (stream, _):
            rows = tuple(islice(_numbered(stream, form, compression), SEEN))
    return File(path, form, rows, compression)


def _is_clear(head: bytes) -> bool:
    """Whether the format can be recognized by the beginning of a file: not for an object that goes on after its first line."""
    start = without_mark(head).lstrip()
    if not start.startswith(b"{"):
        return True
    try:
        json.loads(start.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return True


def _rows_of(path: Path, form: FileFormat, done: _Position) -> Iterator[tuple[int, object]]:
    with _explained(path), path.open("rb") as file, done.reading(file), _decompressed(file) as (stream, compression):
        yield from _numbered(stream, form, compression)


def _numbered(stream: BinaryIO, form: FileFormat, compression: str) -> Iterable[tuple[int, object]]:
    if form.stream is None:
        return form.rows(stream.read())
    if compression and form.separator == " row ":  # Parquet is read from its end
        return form.rows(stream.read())
    return form.stream(stream)


def _columns_of(files: Sequence[File], columns: Columns) -> set[object]:
    """The columns of the rows; all rows are read only if the first ones lack one that is asked for."""
    seen: set[object] = {key for file in files for _, row in file.rows if isinstance(row, dict) for key in row}
    asked = {*columns.roles.values(), *([columns.group] if columns.group else [])}
    for file in files:
        if asked <= seen:
            break
        for _, row in _rows_of(file.path, file.format, _Position(1)):
            if isinstance(row, Mapping):
                seen.update(row)
    return seen


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Problems within the block name the file.

    Raises:
        DataProblems: the file cannot be read.
    """
    try:
        yield
    except DataProblems as error:
        raise DataProblems([f"{path}:{problem}" for problem in error.problems]) from error
    except READING_ERRORS as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
