"""Loads a folder with `train.jsonl`, `validation.jsonl` and `test.jsonl`: one JSON object per line.

Each row has `prompt` and `completion`, and may have `label` and `kind`. Files are only read.
"""

from __future__ import annotations

import codecs
import json
import stat
from collections.abc import Iterator
from pathlib import Path

from tasks.checks import Flaw, Origin, Reading, assemble, read_rows
from tasks.example import DataProblems, RawSplits
from tasks.suggest import closest, did_you_mean

_SPLITS = ("train", "validation", "test")
_BLANK = object()
# UTF-32 first, because its little-endian mark starts with that of UTF-16
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def load(path: Path) -> RawSplits:
    """Reads the three splits of a folder, with rows in file order; `path` may be relative or start with `~`.

    Raises:
        DataProblems: lists the problems of all files.
    """
    try:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise DataProblems([_no_folder(folder)])
        train, validation, test = (_read_split(folder, name) for name in _SPLITS)
    # RuntimeError: the user in `~user` does not exist
    except (OSError, RuntimeError) as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    return assemble(train, validation, test)


def _read_split(folder: Path, name: str) -> Reading:
    file = folder / f"{name}.jsonl"
    origin = Origin(str(file), file.name)
    if not file.is_file():
        return Reading(origin, problems=(_no_file(folder, name),))
    try:
        data = file.read_bytes()
    except OSError as error:
        return Reading(origin, problems=(f"{file}: cannot be read: {error.strerror}",))
    unreadable = _wrong_form(data)
    if unreadable:
        return Reading(origin, problems=(f"{file}: {unreadable}",))
    lines = list(_lines(data))
    blank = [number for number, value in lines if value is _BLANK]
    notes = (f"{file.name}: blank lines skipped: {len(blank)}, the first is line {blank[0]}",) if blank else ()
    return read_rows(origin, [line for line in lines if line[1] is not _BLANK], notes)


def _lines(data: bytes) -> Iterator[tuple[int, object]]:
    """Number of each line with its decoded row, a `Flaw`, or `_BLANK`."""
    start = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    for number, line in enumerate(data[start:].splitlines(keepends=True), 1):
        yield number, _decoded(line, start)
        start += len(line)


def _decoded(line: bytes, start: int) -> object:
    """The row on a line that starts at byte `start` of the file."""
    if b"\0" in line:
        return Flaw(f"NUL byte at byte {start + line.index(0)} of the file: it is damaged, or UTF-16; save it as UTF-8")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Flaw(_not_utf8(line, error.start, start + error.start))
    if not text.strip():
        return _BLANK
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        return Flaw(f"invalid JSON at column {error.colno}: {error.msg}; a row is one JSON object on one line")
    except RecursionError:
        return Flaw("invalid JSON: nested too deeply; a row is one flat JSON object")
    except ValueError as error:
        return Flaw(f"invalid JSON: {error}")


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'the key "{next(name for name in names if names.count(name) > 1)}" appears twice; keep one')
    return row


def _not_utf8(line: bytes, column: int, position: int) -> str:
    byte = line[column]
    # bytes that are letters and quotation marks in Windows-1252 are unusual control characters in Latin-1
    is_windows = any(0x80 <= other <= 0x9F for other in line)
    name, encoding = ("Windows-1252", "WINDOWS-1252") if is_windows else ("Latin-1 (ISO-8859-1)", "ISO-8859-1")
    character = line[column : column + 1].decode(encoding, errors="replace")
    return (
        f"not UTF-8 at byte {position} of the file (0x{byte:02x}); it looks like {name}, where this is "
        f'"{character}": save the file as UTF-8, for instance with iconv -f {encoding} -t UTF-8'
    )


def _wrong_form(data: bytes) -> str | None:
    """Describes why the file as a whole is not JSON lines; None if it may be."""
    for mark, encoding in _WIDE_MARKS.items():
        if data.startswith(mark):
            return (
                f"is {encoding}, by its byte order mark at byte 0, line 1; save it as UTF-8, for instance with "
                f"iconv -f {encoding} -t UTF-8"
            )
    if data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        try:
            whole = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if isinstance(whole, list):
            return f"line 1 starts one JSON list of {len(whole)} items; write each item on its own line instead"
    return None


def _no_folder(folder: Path) -> str:
    if kind := _other_kind(folder):
        return f"{folder}: is {kind}; give the folder with train.jsonl, validation.jsonl and test.jsonl"
    parent = next(parent for parent in folder.absolute().parents if parent.is_dir())
    missing = folder.absolute().relative_to(parent).parts[0]
    siblings = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    return (
        f"{folder}: there is no such folder{did_you_mean(missing, siblings)}; "
        f"{parent} has {_listed(siblings, 'no folders')}"
    )


def _other_kind(path: Path) -> str | None:
    """Describes what exists at `path`, or None; opens nothing, because that could block."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else None
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _no_file(folder: Path, name: str) -> str:
    if kind := _other_kind(folder / f"{name}.jsonl"):
        return f"{folder / name}.jsonl: is {kind}; put a file with one JSON object on each line there"
    files = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    text = f"{folder / name}.jsonl: is missing; the folder has {_listed(files, 'no files')}"
    expected = [f"{split}.jsonl" for split in _SPLITS]
    others = {file.split(".", 1)[0]: file for file in files if file not in expected}
    lines = {
        stem: file for stem, file in others.items() if file.casefold().endswith((".jsonl", ".ndjson", ".jsonlines"))
    }
    stem = closest(name, lines)
    if stem:
        return f"{text}; if {lines[stem]} is this split, rename it to {name}.jsonl"
    stem = closest(name, others)
    if stem:
        return (
            f"{text}; write the rows of {others[stem]} as JSON lines, or read the folder with task=hub "
            f"task.dataset={folder}"
        )
    inner = next((file.parent for file in sorted(folder.glob(f"*/{name}.jsonl"))), None)
    if inner:
        return f"{text}; {inner} has one: use that folder"
    return f"{text}; each split needs its own file, and no row may be in two"


def _listed(names: list[str], nothing: str) -> str:
    rest = [f"and {len(names) - 12} more"] if len(names) > 12 else []
    return ", ".join(names[:12] + rest) or nothing
