"""Folders that appear whole or not at all, and are checked before they are trusted.

A folder is written beside its place, given a manifest (size and SHA-256 of every file), flushed to the disk and then renamed. So
a process that is killed leaves no half-written folder, and a file that is damaged later is noticed. A damaged folder is never
deleted: it is set aside under a name with a leading dot.
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
    """An empty folder beside `folder`, to be filled and then given to `commit`; removed at the end of the block."""
    _remove_leftovers(folder)
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def commit(scratch: Path, folder: Path) -> None:
    """Makes the scratch folder the folder. If another process was first and its folder is whole, that one stays."""
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
    """Writes down size and SHA-256 of every file in the folder."""
    files = {
        file.relative_to(folder).as_posix(): {"size": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def damage(folder: Path, *, earlier_versions: bool = True) -> str | None:
    """What is wrong with a folder, in words; None if every file is as it was committed.

    Args:
        earlier_versions: whether the folder may be of a version that wrote no manifest; of such a folder nothing is known here, and
            None is returned.
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
    """Renames a damaged folder so that nothing looks into it again; returns its new path."""
    number = 1
    while (aside := folder.with_name(f".{folder.name}.damaged-{number}")).exists():
        number += 1
    with suppress(FileNotFoundError):  # another process has just done the same
        folder.rename(aside)
    return aside


def _remove_leftovers(folder: Path) -> None:
    """Scratch folders of processes that are gone."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        process = leftover.name.rpartition(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Has the disk take what was written; file systems that cannot do this for folders are left alone."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
