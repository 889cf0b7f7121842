"""One removal: what goes, how large it is, and why; and how it goes so that a crash in between harms nothing.

A folder first gets the name of a scratch folder (`.NAME.PROCESS`), by which it is gone for everybody at once; what a killed removal leaves
under that name is removed by the next one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sweep.errors import DataError
from sweep.store.adapters import ADAPTER, TRAINING
from sweep.store.locks import Claims
from sweep.store.paths import Paths
from sweep.store.whole_folder import MANIFEST
from sweep.tracking.kept_runs import REMOVED_NOTE

WEIGHTS = "*.safetensors"


class Kind(StrEnum):
    """What is removed, in words."""

    ADAPTER = "trained adapters"
    OLDER = "adapters in folders of trials"
    ARTIFACT = "weights among MLflow's artifacts"
    MODEL = "weights of MLflow's logged models"
    DAMAGED = "folders that were set aside as damaged"
    SCRATCH = "left by processes that have ended"
    SCORES = "score caches of no adapter"


@dataclass(frozen=True, slots=True)
class Removal:
    """Something to be removed.

    Attributes:
        bytes: its size.
        why: in words.
        identity: of the adapter whose weights these are; None for other things.
    """

    kind: Kind
    path: Path
    bytes: int
    why: str
    identity: str | None = None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_symlink() or file.is_file())


def weights_in(folder: Path) -> list[Path]:
    """The files of weights in a folder of MLflow's artifacts, at any depth."""
    return [file for file in folder.rglob(WEIGHTS) if file.is_file()]


def remove(removal: Removal, paths: Paths, claims: Claims) -> bool:
    """Removes it, and notes that; returns False if it is in use by another process, or gone.

    Raises:
        OSError: it cannot be removed.
    """
    if not removal.path.exists():
        return False
    if removal.identity is None:
        if removal.kind is Kind.DAMAGED:
            _note(removal, paths)
        _REMOVE[removal.kind](removal)
        return True
    lock = paths.adapter_lock(removal.identity)
    if not claims.claim(lock):
        return False
    try:
        _note(removal, paths)
        _REMOVE[removal.kind](removal)
    finally:
        claims.release(lock)
    return True


def _note(removal: Removal, paths: Paths) -> None:
    """Appends to `mlruns/removed.jsonl`; of an adapter also the record of its training, so that no record is lost."""
    line: dict[str, Any] = {
        "time": round(time.time(), 3),
        "path": removal.path.relative_to(paths.root).as_posix(),
        "bytes": removal.bytes,
        "why": removal.why,
    }
    training = removal.path / TRAINING
    if training.is_file():
        try:
            line["training"] = json.loads(training.read_text(encoding="utf-8"))
        except ValueError:
            line["training"] = None
    with paths.removals.open("a", encoding="utf-8") as stream:
        stream.write(f"{json.dumps(line)}\n")
        stream.flush()
        os.fsync(stream.fileno())


def _folder(removal: Removal) -> None:
    _vanish(removal.path, removal.path.with_name(f".{removal.path.name}.{os.getpid()}"))


def _older_adapter(removal: Removal) -> None:
    """Removes `adapter/` from a trial's folder; its manifest forgets the files first, or the trial would count as damaged."""
    trial = removal.path.parent
    listed = trial / MANIFEST
    if listed.is_file():
        try:
            files = json.loads(listed.read_text(encoding="utf-8"))["files"]
            left = {name: entry for name, entry in files.items() if not name.startswith(f"{ADAPTER}/")}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{listed} is damaged; `python -m sweep.doctor --repair` moves the trial aside") from error
        fresh = trial.with_name(f".{trial.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"files": left}, indent=1), encoding="utf-8")
        fresh.replace(listed)
    _vanish(removal.path, trial.with_name(f".{trial.name}.{os.getpid()}"))


def _artifact(removal: Removal) -> None:
    """Removes the weights of an adapter among the artifacts of a run or logged model; its configuration stays, with a note."""
    note = removal.path / REMOVED_NOTE
    note.write_text(f"These weights were removed by sweep.gc: {removal.why}.\n", encoding="utf-8")
    for file in weights_in(removal.path):
        file.unlink(missing_ok=True)


def _scratch(removal: Removal) -> None:
    if removal.path.is_dir() and not removal.path.is_symlink():
        shutil.rmtree(removal.path)
    else:
        removal.path.unlink(missing_ok=True)


def _vanish(folder: Path, scratch: Path) -> None:
    if scratch.exists():
        shutil.rmtree(scratch)
    folder.rename(scratch)
    shutil.rmtree(scratch)


_REMOVE: dict[Kind, Callable[[Removal], None]] = {
    Kind.ADAPTER: _folder,
    Kind.OLDER: _older_adapter,
    Kind.ARTIFACT: _artifact,
    Kind.MODEL: _artifact,
    Kind.DAMAGED: _folder,
    Kind.SCRATCH: _scratch,
    Kind.SCORES: _folder,
}
