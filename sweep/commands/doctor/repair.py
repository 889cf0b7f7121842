"""`python -m sweep.doctor --repair`: moves damaged files under `mlruns/` aside, so that studies can go on; deletes nothing.

Addresses in MLflow's database that a moved or copied folder left behind are corrected as well (`sweep.housekeeping.moved`).

The next sweep restores them from intact files: an Optuna database from the trials' folders (the sampler proposes the same
arms again, whose trials are found by identity), hashes from the hashed files, a trial by training it.
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

from sweep.errors import GoldilocksError, StudyBusy
from sweep.housekeeping.moved import correct_places
from sweep.reports.steps import shown
from sweep.store.locks import running_studies
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore

_SIDE_FILES = ("", "-wal", "-shm", "-journal")


def repair(paths: Paths) -> list[str]:
    """Moves damaged files aside; returns a line per file that was checked or moved.

    Raises:
        StudyBusy: a sweep is running here.
        OSError: a file cannot be moved.
    """
    if not paths.root.is_dir():
        return [f"{shown(paths.root)}: does not exist, so nothing is damaged"]
    _check_idle(paths)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    lines: list[str] = []
    problem = sqlite_problem(paths.optuna_database) or _unreadable_by_optuna(paths)
    lines.append(
        _database(
            paths.optuna_database,
            problem,
            stamp,
            "rerun the study's command: it finds the finished trials and creates the database again",
        )
    )
    lines.append(
        _database(
            paths.mlflow_database,
            sqlite_problem(paths.mlflow_database),
            stamp,
            "the next sweep creates a new one; the runs in the damaged file stay there",
        )
    )
    lines += [f"{shown(paths.root)}: was moved or copied here; {line}" for line in correct_places(paths)]
    hashes = paths.models / "hashes.json"
    problem = _json_problem(hashes)
    if problem is not None:
        lines.append(_moved(hashes, problem, stamp, "the next sweep computes the hashes again"))
    lines += _folders(paths)
    return lines


def sqlite_problem(file: Path) -> str | None:
    """SQLite's message about a damaged file; None if the file is intact or does not exist.

    Checks a copy: opening the file itself, SQLite would discard a damaged write-ahead log.
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
                lines = [str(row[0]) for row in database.execute("PRAGMA integrity_check(5)")]
        except sqlite3.DatabaseError as error:
            return str(error)
    return None if lines == ["ok"] else lines[0].strip().replace("\n", " ")


def _check_idle(paths: Paths) -> None:
    for study in running_studies(paths)[:1]:
        raise StudyBusy(f"a sweep of study '{study}' is running here; wait until it ends, then repair")


def _unreadable_by_optuna(paths: Paths) -> str | None:
    """Why the studies in an intact SQLite file cannot be read; None if they can."""
    if not paths.optuna_database.exists():
        return None
    from sweep.search.reading import studies_of, study_names
    from sweep.search.storage import existing_storage

    try:
        with existing_storage(None, paths) as storage:
            for name in study_names(storage):
                studies_of(storage, name)
    except GoldilocksError as error:
        return str(error).partition("; run ")[0]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"a study in it cannot be read: {type(error).__name__}: {error}"
    return None


def _database(file: Path, problem: str | None, stamp: str, then: str) -> str:
    if problem is None:
        return f"{shown(file)}: {'ok' if file.exists() else 'does not exist'}"
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
        contents = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        return f"not JSON: {error}"
    return None if isinstance(contents, dict) else "not a JSON object"


def _folders(paths: Paths) -> Iterator[str]:
    """Trials and adapters: reading them sets damaged ones aside."""
    messages: list[str] = []
    store = TrialStore(paths, messages.append)
    trials = [store.find(folder.name) for folder in _folders_in(paths.root / "trials")]
    adapters = [store.adapters.find(folder.name) for folder in _folders_in(paths.root / "adapters")]
    yield from messages
    for name, loaded in (("trials", trials), ("adapters", adapters)):
        yield f"{shown(paths.root / name)}: {sum(one is not None for one in loaded)} intact"


def _folders_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*/[!.]*"))
