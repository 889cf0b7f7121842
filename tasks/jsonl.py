"""Loads a folder with `train.jsonl`, `validation.jsonl` and `test.jsonl`: one JSON object per line.

Each row has `prompt` and `completion`, and may have `label` and `kind`. Files are only read.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path

from tasks.checks import assemble, read_rows
from tasks.data_files import kind_of
from tasks.example import DataProblems, RawSplits
from tasks.formats.file_format import wide_encoding
from tasks.formats.json_lines import BLANK, lines
from tasks.readings import Origin, Reading
from tasks.suggest import closest, did_you_mean

SPLITS = ("train", "validation", "test")


def load(path: Path) -> RawSplits:
    """Reads the three splits of a folder, with rows in file order; `path` may be relative or start with `~`.

    Raises:
        DataProblems: lists the problems of all files.
    """
    try:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise DataProblems([no_folder(folder)])
        train, validation, test = (_read_split(folder, name) for name in SPLITS)
    # RuntimeError: the user in `~user` does not exist
    except (OSError, RuntimeError) as error:
        raise DataProblems([f"{path}: cannot be read: {error}"]) from error
    return assemble(train, validation, test)


def _read_split(folder: Path, name: str) -> Reading:
    file = folder / f"{name}.jsonl"
    origin = Origin(str(file), file.name)
    if not file.is_file():
        return Reading(origin, problems=(no_file(folder, name),))
    try:
        data = file.read_bytes()
    except OSError as error:
        return Reading(origin, problems=(f"{file}: cannot be read: {error.strerror}",))
    unreadable = wrong_form(data)
    if unreadable:
        return Reading(origin, problems=(f"{file}: {unreadable}",))
    read = list(lines(data))
    blank = [number for number, value in read if value is BLANK]
    notes = (f"{file.name}: blank lines skipped: {len(blank)}, the first is line {blank[0]}",) if blank else ()
    return read_rows(origin, [line for line in read if line[1] is not BLANK], notes)


def wrong_form(data: bytes) -> str | None:
    """Describes why the file as a whole is not JSON lines; None if it may be."""
    if wide := wide_encoding(data):
        return wide
    if data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        try:
            whole = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if isinstance(whole, list):
            return f"line 1 starts one JSON list of {len(whole)} items; write each item on its own line instead, or read it with task=data"
    return None


def no_folder(folder: Path) -> str:
    """Describes what is there in place of the folder, and what else there is."""
    if kind := kind_of(folder):
        return f"{folder}: is {kind}; give the folder with train.jsonl, validation.jsonl and test.jsonl"
    parent = next(parent for parent in folder.absolute().parents if parent.is_dir())
    missing = folder.absolute().relative_to(parent).parts[0]
    siblings = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    return (
        f"{folder}: there is no such folder{did_you_mean(missing, siblings)}; "
        f"{parent} has {_listed(siblings, 'no folders')}"
    )


def no_file(folder: Path, name: str) -> str:
    """Describes what the folder has in place of the file of a split."""
    if kind := kind_of(folder / f"{name}.jsonl"):
        return f"{folder / name}.jsonl: is {kind}; put a file with one JSON object on each line there"
    files = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    text = f"{folder / name}.jsonl: is missing; the folder has {_listed(files, 'no files')}"
    expected = [f"{split}.jsonl" for split in SPLITS]
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
