"""Atomic folders: a folder appears complete or not at all, and is checked before it is used.

A folder is written under a scratch name, given a manifest (size and SHA-256 of every file), flushed to disk and then renamed. A
process that is killed therefore leaves no half-written folder, and later damage to a file is detected. A damaged folder is never
deleted: it is renamed to a name with a leading dot.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

MANIFEST = "manifest.json"


@contextmanager
def scratch_for(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, to be filled and passed to `commit`; removed at the end of the block."""
    _remove_leftovers(folder)
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def commit(scratch: Path, folder: Path) -> None:
    """Renames the scratch folder to `folder`. If another process was first and its folder is undamaged, that one stays."""
    write_manifest(scratch)
    for path in (*scratch.rglob("*"), scratch):
        _flush(path)
    if folder.exists():
        if damage(folder) is None:
            return
        set_aside(folder)
    try:
        scratch.rename(folder)
    except OSError:
        if damage(folder) is not None:
            raise
    _flush(folder.parent)


def write_manifest(folder: Path) -> None:
    """Records size and SHA-256 of every file in the folder."""
    files = {
        file.relative_to(folder).as_posix(): {"size": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def damage(folder: Path, *, earlier_versions: bool = True) -> str | None:
    """Describes what is wrong with a folder; None if every file is as it was committed.

    Args:
        earlier_versions: whether the folder may be from a version that wrote no manifest; it then counts as undamaged.
    """
    if not folder.is_dir():
        return "the folder is gone"
    listed = folder / MANIFEST
    if not listed.exists():
        return None if earlier_versions else f"{MANIFEST} is missing"
    try:
        files: dict[str, dict[str, Any]] = json.loads(listed.read_text())["files"]
        for name, entry in files.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if (size := file.stat().st_size) != entry["size"]:
                return f"{name} has {size} bytes instead of {entry['size']}"
            if _sha256(file) != entry["sha256"]:
                return f"{name} was changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__})"
    return None


def set_aside(folder: Path) -> Path:
    """Renames a damaged folder so that nothing reads it again; returns its new path."""
    number = 1
    while (aside := folder.with_name(f".{folder.name}.damaged-{number}")).exists():
        number += 1
    with suppress(FileNotFoundError):  # another process has just done the same
        folder.rename(aside)
    return aside


def size_problem(file: Path) -> str | None:
    """Describes what is wrong with a safetensors file's size; None if the size is what the file's header says.

    The weights are not read. The format is an 8-byte little-endian length, a JSON header of that length, and the weights
    (https://huggingface.co/docs/safetensors).
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > file.stat().st_size:
                return f"{file.name} is cut short"
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return f"{file.name} cannot be read"
    expected = 8 + length + max(ends, default=0)
    return None if file.stat().st_size == expected else f"{file.name} has another size than its header says"


def _remove_leftovers(folder: Path) -> None:
    """Removes scratch folders of processes that have ended."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        process = leftover.name.rpartition(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Flushes a file or folder to disk; file systems that cannot flush folders are skipped."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
