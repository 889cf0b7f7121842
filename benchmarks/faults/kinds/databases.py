"""Optuna's and MLflow's databases are damaged, gone, or held by another process."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from benchmarks.faults.call import LIMIT_SECONDS
from benchmarks.faults.case import Case
from benchmarks.faults.kind import ANY, FRESH, HALF, LACKS, WHOLE, kind
from benchmarks.faults.kinds.finished import cut
from benchmarks.faults.processes import waited


def overwrite(file: Path, case: Case) -> None:
    """Some bytes in the file are others."""
    size = file.stat().st_size
    place, length = case.random.randrange(size), int(case.between(100, 20_000, "bytes"))
    case.notes.append(f"from byte {place} of {size}")
    with file.open("r+b") as stream:
        stream.seek(place)
        stream.write(case.random.randbytes(min(length, size - place)))


def replace(file: Path, case: Case) -> None:
    """The file is no database."""
    file.write_text("this is no database\n" * 100)


def lose(file: Path, case: Case) -> None:
    """The file is gone, with its log or without."""
    with_log = case.one_of("with its log", "without its log") == "with its log"
    for each in file.parent.glob(f"{file.name}*"):
        if with_log or each == file:
            each.unlink()


_WAYS: dict[str, tuple[str, Callable[[Path, Case], None]]] = {
    "cut": ("is cut short", cut),
    "overwritten": ("is overwritten in part", overwrite),
    "replaced": ("is no database", replace),
    "lost": ("is gone", lose),
}


def damaged(database: str, way: str) -> Callable[[Case], None]:
    """A database that is damaged; where the sweep says so, it is moved away, as the text asks for, or repaired."""
    _, damage = _WAYS[way]

    def disturb(case: Case) -> None:
        damage(case.root / database, case)
        ended = case.call(LACKS, says=rf"{database}").end()
        if ended.code and case.one_of("moved away", "--repair") == "--repair":
            case.repair()
        elif ended.code:
            _move_away(case, database)

    disturb.__doc__ = f"{database} {_WAYS[way][0]}."
    return disturb


def _move_away(case: Case, database: str) -> None:
    away = case.root / "moved-away"
    away.mkdir()
    for file in case.root.glob(f"{database}*"):
        if not file.name.endswith(".lock"):
            file.rename(away / file.name)


# a sweep that is done has nothing to say to MLflow, and does not open its database
for _database, _starts in (("optuna.db", (HALF, WHOLE)), ("mlflow.db", (HALF,))):
    for _way in _WAYS:
        kind(f"{_database.split('.')[0]}-{_way}", starts=_starts)(damaged(_database, _way))


def locked(database: str) -> Callable[[Case], None]:
    """Another process holds the database for some time, from some instant on."""

    def disturb(case: Case) -> None:
        call = case.under_way(LACKS, says=rf"{database}|locked")
        _hold(case, case.root / database, call.is_over)

    disturb.__doc__ = f"{database} is locked by another process from a random instant on."
    return disturb


for _database in ("optuna.db", "mlflow.db"):
    kind(f"{_database.split('.')[0]}-locked", starts=(FRESH, HALF))(locked(_database))


@kind("lock-file-held", starts=(FRESH, HALF))
def lock_file_held(case: Case) -> None:
    """optuna.db.lock or mlflow.db.lock is held by another process."""
    file = case.root / case.one_of("optuna.db.lock", "mlflow.db.lock")
    for_ever = case.one_of("for some seconds", "for ever") == "for ever"
    with FileLock(file):
        call = case.call(ANY, says=r"lock")
        waited(call.is_over, LIMIT_SECONDS if for_ever else case.between(1.0, 20.0, "s"))


def _hold(case: Case, file: Path, over: Callable[[], bool]) -> None:
    waited(file.exists, LIMIT_SECONDS, over)
    if over():
        case.landed = False
        return
    with closing(sqlite3.connect(file, timeout=30.0, isolation_level=None)) as database:
        end = time.monotonic() + case.between(0.5, 100.0, "s")
        try:
            database.execute("begin exclusive")
        except sqlite3.OperationalError:
            case.landed = False
            return
        waited(over, end - time.monotonic())
        database.execute("rollback")
