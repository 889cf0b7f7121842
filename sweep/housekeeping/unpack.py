"""Opens a packed study in this folder's `mlruns/`, beside the studies that are there.

Whatever exists stays as it is. First everything is checked; then come folders and files under identities, which harm nobody; then MLflow's
rows in one transaction, report and history of the champion by a rename each, and at last Optuna's studies in one transaction, with which
the study is there. An opening that is killed before leaves everything to the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sweep.config.units import show_bytes
from sweep.errors import ConfigurationError, DataError, EnvironmentLacks
from sweep.housekeeping.archive_file import Archive, opened
from sweep.housekeeping.pack import CHAMPION_ENTRY, MLFLOW, OPTUNA
from sweep.records.champion import ChampionEntry
from sweep.search.portable import PackedStudy, Presence, add_studies, checked_studies, presence
from sweep.search.storage import existing_storage, opened_storage
from sweep.store.champions import ENTRY, Champions
from sweep.store.locks import study_lock
from sweep.store.paths import Paths, checked_name
from sweep.store.whole_folder import MANIFEST, commit, damage, scratch_for
from sweep.tracking import create_store, shown_store
from sweep.tracking.rows import add_rows

USUAL_LIMIT = 50 * 10**9
"""Bytes that an archive may unpack to unless more are allowed."""

_BY_FILE = ("scores", "artifacts")


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened.

    Attributes:
        study: its name.
        was_here: whether the study was here before.
        added: number of files that were written.
    """

    study: str
    was_here: bool
    added: int


def unpack(file: Path, paths: Paths, most_bytes: int = USUAL_LIMIT, say: Callable[[str], None] = print) -> Opened:
    """Opens an archive.

    Args:
        most_bytes: bytes that it may unpack to.
        say: called with a line for each thing that is not as packed.

    Raises:
        ConfigurationError: there is no such file, or another study of that name is here.
        DataError: the archive is damaged or not one.
        StudyBusy: a sweep of a study of that name is running here, or MLflow's database is being written.
        EnvironmentLacks: the disk is too small, or a database cannot be used.
        OSError: a file cannot be written.
    """
    with opened(file, most_bytes) as archive:
        study = checked_name(str(archive.about.get("study")))
        _check_places(archive, study)
        _check_champions(archive, study)
        _check_space(paths.root, archive.size)
        studies = checked_studies(_json(archive, OPTUNA), study)
        rows = [_row(line) for line in archive.text(MLFLOW).split("\n")] if MLFLOW in archive.entries else []
        paths.root.mkdir(parents=True, exist_ok=True)
        with study_lock(paths, study):
            known = _presence(paths, study, studies, file)
            if known is Presence.ABSENT:
                for folder, what in (
                    (paths.report(study), "report"),
                    (paths.champions(study), "history of the champion"),
                ):
                    _check_report(archive, paths, folder, what, study)
            added = _place_folders(archive, paths) + _place_files(archive, paths)
            experiment = None
            if rows:
                create_store(paths)
                experiment = add_rows(paths.mlflow_database, rows, study, paths.root)
            elif known is Presence.ABSENT:
                say("its MLflow runs were not packed")
            added += _place_report(archive, paths, paths.report(study))
            added += _place_report(archive, paths, paths.champions(study))
            if known is Presence.ABSENT:
                store = None if experiment is None else shown_store(None, paths)
                with opened_storage(None, paths) as storage:
                    add_studies(storage, studies, store, experiment)
            Champions(paths, study).link()
    return Opened(study, known is Presence.PRESENT, added)


def _check_places(archive: Archive, study: str) -> None:
    """Every file must belong to one of the places that a study has.

    Raises:
        DataError: one does not.
    """
    for name in archive.entries:
        parts = name.split("/")
        match parts:
            case ["study", _] if name in (OPTUNA, MLFLOW):
                continue
            case ["reports" | "artifacts", owner, _, *_] if owner == study:
                continue
            case ["champions", owner, "drift.jsonl" | "drift.svg" | "refresh.jsonl"] if owner == study:
                continue
            case ["champions", owner, entry, _, *_] if owner == study and CHAMPION_ENTRY.fullmatch(entry):
                continue
            case ["trials" | "adapters" | "scores", start, identity, _, *_] if _is_identity(identity, start):
                continue
            case ["models", model, _] if not model.startswith("."):
                continue
        raise DataError(f"the archive has a file that no study has: {name[:200]}")


def _check_champions(archive: Archive, study: str) -> None:
    """The history of the champion, if there is one, must have all its entries, and each must name a version in it.

    Raises:
        DataError: it is something else.
    """
    parts = [name.split("/") for name in archive.entries if name.startswith(f"champions/{study}/")]
    for number in range(1, len({each[2] for each in parts if CHAMPION_ENTRY.fullmatch(each[2])}) + 1):
        name = f"champions/{study}/{number:04}/{ENTRY}"
        try:
            entry = ChampionEntry.from_json(_json(archive, name))
            whole = entry.number == number and entry.version in range(1, number + 1)
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise DataError(f"the archive's history of the champion cannot be used: see {name}")


def _check_space(folder: Path, needed: int) -> None:
    """Checks that the disk has room for what is unpacked.

    Raises:
        EnvironmentLacks: it has not.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentLacks(
            f"{show_bytes(free)} are free in {folder}, and the study takes {show_bytes(needed)}: free space, or go to a folder on "
            "another disk"
        )


def _is_identity(text: str, start: str) -> bool:
    return text.isascii() and text.isalnum() and text[:2] == start and len(text) <= 100


def _presence(paths: Paths, study: str, studies: Sequence[PackedStudy], file: Path) -> Presence:
    """What Optuna's database here has of the study.

    Raises:
        ConfigurationError: it has another study of that name.
    """
    if not paths.optuna_database.exists():
        return Presence.ABSENT
    with existing_storage(None, paths) as storage:
        known = presence(storage, study, studies)
    if known is Presence.DIFFERENT:
        raise ConfigurationError(
            f"another study of the name '{study}' is here, or an earlier state of this one: nothing was changed; open the archive in "
            f"another folder (mkdir other && cd other && python -m sweep.archive open={_elsewhere(file)})"
        )
    return known


def _elsewhere(file: Path) -> str:
    return str(file.absolute()) if file.is_absolute() else os.path.join("..", file)  # noqa: PTH118 (a path to be shown)


def _check_report(archive: Archive, paths: Paths, folder: Path, what: str, study: str) -> None:
    """A report, or a history, without records is either what a killed opening left, or another study's.

    Raises:
        ConfigurationError: it is another study's.
    """
    if not folder.exists():
        return
    for file in sorted(folder.rglob("*")):
        entry = archive.entries.get(file.relative_to(paths.root).as_posix())
        if file.is_file() and (entry is None or entry.sha256 != _sha256(file)):
            raise ConfigurationError(
                f"{folder} has the {what} of another study of the name '{study}', whose records are not here: nothing was changed; "
                "move that folder away, or open the archive in another folder"
            )


def _place_folders(archive: Archive, paths: Paths) -> int:
    """Adds folders that are complete or not there: trials, adapters, bases. Undamaged ones stay. Returns the number of files."""
    folders: dict[Path, list[str]] = {}
    for name in archive.entries:
        parts = PurePosixPath(name).parts
        depth = {"trials": 3, "adapters": 3, "models": 2}.get(parts[0])
        if depth is not None:
            folders.setdefault(paths.root.joinpath(*parts[:depth]), []).append(name)
    added = 0
    for folder, names in folders.items():
        if folder.is_dir() and damage(folder) is None:
            continue
        with scratch_for(folder) as scratch:
            for name in names:
                archive.unpack(name, scratch / (paths.root / name).relative_to(folder))
            (scratch / MANIFEST).unlink(missing_ok=True)  # `commit` writes it, of the files that are there
            commit(scratch, folder)
        added += len(names)
    return added


def _place_files(archive: Archive, paths: Paths) -> int:
    """Adds files of score caches and of MLflow's artifacts that are not there; returns their number."""
    added = 0
    for name in archive.entries:
        target = paths.root / name
        if name.split("/")[0] not in _BY_FILE or target.exists():
            continue
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            archive.unpack(name, scratch)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        added += 1
    return added


def _place_report(archive: Archive, paths: Paths, folder: Path) -> int:
    """Adds the folder of the report, or of the champion's history, if there is none; returns the number of its files."""
    names = [name for name in archive.entries if name.startswith(f"{folder.relative_to(paths.root).as_posix()}/")]
    if folder.exists() or not names:
        return 0
    with scratch_for(folder) as scratch:
        fresh = scratch / folder.name
        for name in names:
            archive.unpack(name, fresh / (paths.root / name).relative_to(folder))
        fresh.rename(folder)
    return len(names)


def _json(archive: Archive, name: str) -> object:
    try:
        return json.loads(archive.text(name))
    except ValueError as error:
        raise DataError(f"the archive's {name} is not JSON: {error}") from error


def _row(line: str) -> tuple[str, dict[str, object]]:
    try:
        table, row = json.loads(line)
    except (ValueError, TypeError) as error:
        raise DataError(f"the archive's {MLFLOW} cannot be read: {error}") from error
    if not isinstance(table, str) or not isinstance(row, dict):
        raise DataError(f"the archive's {MLFLOW} holds something else than rows")
    return table, row


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
