"""Optuna's database: opened once at a time, with heartbeats, its words kept quiet, its errors told in ours."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from sweep.console.masking import mask
from sweep.errors import ConfigurationError, EnvironmentLacks, GoldilocksError
from sweep.store.database_drivers import missing_driver
from sweep.store.locks import held, never_stop, say_on_stderr
from sweep.store.paths import Paths
from sweep.store.sqlite_files import write_ahead

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 90
"""A trial of another machine whose heart has not beaten for so long is dead."""

_LOCK_SECONDS = 60.0
"""The longest wait for another process that opens the database, which takes it a second."""

_BUSY_SECONDS = 60.0
"""The longest wait for another process that writes to a SQLite file."""


@contextmanager
def existing_storage(url: str | None, paths: Paths) -> Iterator[StudyDatabase]:
    """The database, for reading: nothing is made where there is none.

    Raises:
        ConfigurationError: nobody has run a study here yet.
        EnvironmentLacks: it cannot be opened or read.
    """
    if url is None and not paths.optuna_database.exists():
        raise ConfigurationError(
            f"there is no study here: {paths.optuna_database} does not exist; go to the folder where the sweep was run, "
            "or run `python -m sweep +study=pharma`"
        )
    with opened_storage(url, paths) as storage:
        yield storage


@contextmanager
def opened_storage(
    url: str | None,
    paths: Paths,
    *,
    say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = never_stop,
) -> Iterator[StudyDatabase]:
    """The database for the length of a block; afterwards its connections are closed.

    Args:
        say: told one line if another process has to be waited for.
        check: called while waiting; may raise to end it.

    Raises:
        EnvironmentLacks: it cannot be opened, made, read or written.
    """
    storage = open_storage(url, paths, say=say, check=check)
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        raise _explained(error, url, paths) from error
    finally:
        storage.close()


def open_storage(
    url: str | None,
    paths: Paths,
    *,
    say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = never_stop,
) -> StudyDatabase:
    """The database of `storage.url`, by default `mlruns/optuna.db`; close it, or use `opened_storage`.

    Raises:
        EnvironmentLacks: it cannot be opened or made.
    """
    # samplers may use torch in this process, whose threads would spin against the worker's
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    # trials are asked for and told, so this room beats their hearts itself (`Explorer.beat`)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    paths.root.mkdir(parents=True, exist_ok=True)
    lock = paths.root / "optuna.db.lock"
    # two processes that make the tables at once crash one another
    with held(lock, "another process opens the Optuna database", seconds=_LOCK_SECONDS, say=say, check=check):
        if url is None:
            write_ahead(paths.optuna_database)
        try:
            return StudyDatabase(
                url or f"sqlite:///{quote(str(paths.optuna_database))}",
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                engine_kwargs=_engine_arguments(url, paths.optuna_database),
            )
        except GoldilocksError:  # asked to stop meanwhile
            raise
        except Exception as error:
            if url is not None and (missing := missing_driver("storage.url", url, error)):
                raise EnvironmentLacks(missing) from None
            raise _explained(error, url, paths) from error


class StudyDatabase(RDBStorage):
    """Optuna's storage, which closes its connections when it is told to, and when it cannot be opened."""

    def __init__(self, url: str, **arguments: Any) -> None:
        try:
            super().__init__(url, **arguments)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes this thread's connections; the storage opens others if it is used again."""
        if hasattr(self, "scoped_session"):
            self.remove_session()
        if hasattr(self, "engine"):
            self.engine.dispose()


def _engine_arguments(url: str | None, own: Path) -> dict[str, Any] | None:
    if url is None:
        # the path itself: in a URL, SQLAlchemy 2.0 and 2.1 read percent signs differently, and '?' not at all
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(own, timeout=_BUSY_SECONDS, check_same_thread=False)

        return {"creator": connect, "poolclass": QueuePool}
    return {"connect_args": {"timeout": _BUSY_SECONDS}} if url.startswith("sqlite") else None


def _explained(error: Exception, url: str | None, paths: Paths) -> EnvironmentLacks:
    """What a person can do about an error of the database."""
    what = f"the Optuna database {paths.optuna_database if url is None else mask(url)}"
    said = mask(str(_of_the_driver(error)).strip().partition("\n")[0]) or type(error).__name__
    here = url is None or url.startswith("sqlite")
    if here and any(word in said for word in ("malformed", "not a database", "no such table", "no such column")):
        return EnvironmentLacks(
            f"{what} is damaged ({said}); "
            + (
                "run `python -m sweep.doctor --repair`, which moves it away, then the same command: finished trials are "
                "found again in mlruns and are not trained anew"
                if url is None
                else "move it away or name another storage.url: finished trials are found again in mlruns"
            )
        )
    if here and ("disk is full" in said or "disk I/O error" in said):
        return EnvironmentLacks(
            f"{what} cannot be written ({said}); free space on its disk, and see that no limit on the size of files "
            "is set (`ulimit -f`); the same command goes on from what is finished"
        )
    if here and "locked" in said:
        return EnvironmentLacks(
            f"{what} is being written by another process; wait for it and run the same command again"
        )
    return EnvironmentLacks(
        f"{what} cannot be opened or used: {said}; see that its folder or server can be written to, or set storage.url"
    )


def _of_the_driver(error: BaseException) -> BaseException:
    """The error that the database's driver raised, within those that SQLAlchemy and Optuna made of it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DBAPIError) and found.orig is not None:
            return found.orig
        if isinstance(found, sqlite3.Error):
            return found
        found = found.__cause__
    return error
