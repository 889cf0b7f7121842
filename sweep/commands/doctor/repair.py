"""`python -m sweep.doctor --repair`: what is damaged under `mlruns/` is moved aside, so that sweeps go on; nothing is deleted.

What a sweep needs is made again from what is whole: an Optuna database from the trials' folders, since a sampler that is asked
again proposes the same arms, whose trials are found by identity; a hash from the files it is of; a trial by training it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import GoldilocksError, StudyBusy
from sweep.reports.steps import shown
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore

_SIDE_FILES = ("", "-wal", "-shm", "-journal")


def repair(paths: Paths) -> list[str]:
    """Moves aside what is damaged; returns a line for each thing that was looked at or moved.

    Raises:
        StudyBusy: a sweep is running here.
        OSError: something cannot be moved.
    """
    if not paths.root.is_dir():
        return [f"{shown(paths.root)}: not there, so nothing is damaged"]
    _check_idle(paths)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    lines: list[str] = []
    problem = sqlite_problem(paths.optuna_database) or _unreadable_by_optuna(paths)
    lines.append(
        _database(
            paths.optuna_database,
            problem,
            stamp,
            "run the sweep's command again: it finds the finished trials and makes the database anew",
        )
    )
    lines.append(
        _database(
            paths.mlflow_database,
            sqlite_problem(paths.mlflow_database),
            stamp,
            "the next sweep makes a new one; runs recorded in the damaged one stay there",
        )
    )
    hashes = paths.models / "hashes.json"
    problem = _json_problem(hashes)
    if problem is not None:
        lines.append(_moved(hashes, problem, stamp, "the next sweep computes the hashes again"))
    lines += _folders(paths)
    return lines


def sqlite_problem(file: Path) -> str | None:
    """What is wrong with a SQLite file, in SQLite's words; None if nothing is, or if it is not there.

    A copy is looked at: SQLite would throw a damaged write-ahead log away when it opens the file.
    """
    if not file.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="goldilocks-repair-") as scratch:
        copy = Path(scratch) / file.name
        for side in _SIDE_FILES:
            if Path(f"{file}{side}").exists():
                shutil.copyfile(f"{file}{side}", f"{copy}{side}")
        try:
            with closing(sqlite3.connect(copy)) as database:
                found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(5)")]
        except sqlite3.DatabaseError as error:
            return str(error)
    return None if found == ["ok"] else found[0].strip().replace("\n", " ")


def _check_idle(paths: Paths) -> None:
    for file in sorted((paths.root / "locks").glob("*.lock")):
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StudyBusy(f"a sweep of study '{file.stem}' is running here; wait for it, then repair") from None
        lock.release()


def _unreadable_by_optuna(paths: Paths) -> str | None:
    """What keeps Optuna, or us, from reading the studies of a file that SQLite finds whole."""
    if not paths.optuna_database.exists():
        return None
    from sweep.search.reading import studies_of, study_names
    from sweep.search.storage import existing_storage

    try:
        with existing_storage(None, paths) as storage:
            for name in study_names(storage):
                studies_of(storage, name)
    except GoldilocksError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"a study in it cannot be read: {type(error).__name__}: {error}"
    return None


def _database(file: Path, problem: str | None, stamp: str, then: str) -> str:
    if problem is None:
        return f"{shown(file)}: {'ok' if file.exists() else 'not there'}"
    line = _moved(file, problem, stamp, then)
    for side in _SIDE_FILES[1:]:
        beside = Path(f"{file}{side}")
        if beside.exists():
            beside.rename(_aside(beside, stamp))
    return line


def _moved(path: Path, problem: str, stamp: str, then: str) -> str:
    aside = _aside(path, stamp)
    path.rename(aside)
    return f"{shown(path)}: damaged ({problem}); moved to {shown(aside)}; {then}"


def _aside(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.name}.damaged-{stamp}")


def _json_problem(file: Path) -> str | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        return f"no JSON: {error}"
    return None if isinstance(found, dict) else "no JSON object"


def _folders(paths: Paths) -> Iterator[str]:
    """Trials and adapters: the stores set damaged ones aside as they find them."""
    said: list[str] = []
    store = TrialStore(paths, said.append)
    trials = [store.find(folder.name) for folder in _made(paths.root / "trials")]
    adapters = [store.adapters.find(folder.name) for folder in _made(paths.root / "adapters")]
    yield from said
    for name, found in (("trials", trials), ("adapters", adapters)):
        yield f"{shown(paths.root / name)}: {sum(one is not None for one in found)} whole"


def _made(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*/[!.]*"))
