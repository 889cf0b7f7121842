"""Optuna's database: opened by one process at a time, with heartbeats, and with errors that say what to do."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from sweep.console.command_line import pasteable
from sweep.console.masking import mask
from sweep.errors import ConfigurationError, EnvironmentLacks, GoldilocksError
from sweep.search.long_texts import allow_long_texts
from sweep.search.optuna_internals import SAFE_TO_REPEAT, SeparateStudies, in_transaction
from sweep.search.patience import Patience
from sweep.store.database_drivers import missing_driver
from sweep.store.locks import held, never_stop, say_on_stderr
from sweep.store.paths import Paths
from sweep.store.server_errors import connect_arguments
from sweep.store.silence import SilenceWatch
from sweep.store.sqlite_files import write_ahead

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 90
"""A trial of another machine without a heartbeat for this long counts as dead."""

_LOCK_SECONDS = 60.0
"""The longest wait for another process that is opening the database, which takes about a second."""

_BUSY_SECONDS = 60.0
"""The longest wait for another process that is writing to a SQLite file."""

_AWAY_SECONDS = 600.0
"""The longest wait of a sweep for a server that is away."""

_READER_SECONDS = 20.0
"""The longest wait of a command that only reads."""


@contextmanager
def existing_storage(url: str | None, paths: Paths) -> Iterator[StudyDatabase]:
    """Opens the database for reading; does not create it.

    Raises:
        ConfigurationError: no study has been run here.
        EnvironmentLacks: it cannot be opened or read.
    """
    if url is None and not paths.optuna_database.exists():
        raise ConfigurationError(
            f"there is no study here: {paths.optuna_database} does not exist; go to the folder where the sweep was run, or run "
            f"`{pasteable('python -m sweep +study=pharma')}`; if it is recorded in another database (storage.url): storage=URL"
        )
    with opened_storage(url, paths, seconds=_READER_SECONDS) as storage:
        yield storage


@contextmanager
def opened_storage(
    url: str | None,
    paths: Paths,
    *,
    say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = never_stop,
    seconds: float | None = None,
) -> Iterator[StudyDatabase]:
    """Opens the database for a block, and closes its connections afterwards.

    Args:
        say: called with one line if it has to wait for another process or a server.
        check: called while it waits; may raise to end the wait.
        seconds: the longest wait for a server that is away, now or later; None for that of a sweep.

    Raises:
        EnvironmentLacks: it cannot be opened, created, read or written.
    """
    storage = open_storage(url, paths, say=say, check=check, seconds=seconds)
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
    seconds: float | None = None,
) -> StudyDatabase:
    """Opens the database of `storage.url`, by default `mlruns/optuna.db`; close it, or use `opened_storage`.

    Args:
        say, check, seconds: see `opened_storage`.

    Raises:
        EnvironmentLacks: it cannot be opened or created.
    """
    # samplers may use torch in this process; its threads would compete with the worker's
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    # Optuna sends heartbeats only within `optimize`; `SearchStudy.record_heartbeats` sends them here
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    paths.root.mkdir(parents=True, exist_ok=True)
    patience = _patience(url, paths, _AWAY_SECONDS if seconds is None else seconds, say, check)

    def opened(again: bool) -> StudyDatabase:
        # two processes that create the tables at the same time make one another fail
        lock, purpose = paths.root / "optuna.db.lock", "another process opens the Optuna database"
        with held(lock, purpose, seconds=_LOCK_SECONDS, say=say, check=check):
            if url is None:
                write_ahead(paths.optuna_database)
            return StudyDatabase(
                url or f"sqlite:///{quote(str(paths.optuna_database))}",
                patience,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                engine_kwargs=_engine_arguments(url, paths.optuna_database),
            )

    try:
        return opened(False) if patience is None else patience.repeat(opened)
    except GoldilocksError:  # asked to stop while opening, or the server stayed away
        raise
    except Exception as error:
        if url is not None and (missing := missing_driver("storage.url", url, error)):
            raise EnvironmentLacks(missing) from None
        raise _explained(error, url, paths) from error


def _patience(
    url: str | None, paths: Paths, seconds: float, say: Callable[[str], None], check: Callable[[], None]
) -> Patience | None:
    """None for a file, which is there or is not."""
    if url is None or url.lower().startswith("sqlite"):
        return None
    return Patience(mask(url), seconds, str(paths.root / "trials"), say, check)


class StudyDatabase(SeparateStudies):
    """Optuna's storage, which waits for a server that is away, and has a method that closes its connections.

    It also closes them if it cannot be opened.

    Args:
        patience: None if it is a file.
    """

    def __init__(self, url: str, patience: Patience | None = None, **arguments: Any) -> None:
        self.patience: Patience | None = None  # while it is opened, the caller repeats that
        self._watch = SilenceWatch()
        if patience is not None:
            arguments["engine_kwargs"] = {**arguments["engine_kwargs"], "pool_events": self._watch.pool_events}
        try:
            super().__init__(url, **arguments)
            allow_long_texts(self.engine)
        except BaseException:
            self.close()
            raise
        if patience is not None:
            self._watch.each_statement(self.engine)
        self.patience = patience

    def record_heartbeat(self, trial_id: int) -> None:
        """Shows other processes that a trial is alive; a server that is away misses that."""
        beat = partial(super().record_heartbeat, trial_id)
        if self.patience is None or in_transaction(self):
            beat()
        else:
            self.patience.once(beat)

    def close(self) -> None:
        """Closes this thread's connections; using the storage again opens new ones."""
        if hasattr(self, "scoped_session"):
            self.remove_session()
        if hasattr(self, "engine"):
            self.engine.dispose()
        self._watch.close()


def _patient(name: str) -> Callable[..., Any]:
    """A method of Optuna's storage that is repeated while the server is away."""
    method = getattr(SeparateStudies, name)

    @wraps(method)
    def repeated(self: StudyDatabase, *arguments: Any, **named: Any) -> Any:
        if self.patience is None or in_transaction(self):
            return method(self, *arguments, **named)
        return self.patience.repeat(lambda again: method(self, *arguments, **named))

    return repeated


for _name in SAFE_TO_REPEAT:
    setattr(StudyDatabase, _name, _patient(_name))


def _engine_arguments(url: str | None, file: Path) -> dict[str, Any] | None:
    if url is None:
        # connects by path: SQLAlchemy 2.0 and 2.1 read percent signs in URLs differently, and neither accepts '?'
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(file, timeout=_BUSY_SECONDS, check_same_thread=False)

        return {"creator": connect, "poolclass": QueuePool}
    if url.lower().startswith("sqlite"):
        return {"connect_args": {"timeout": _BUSY_SECONDS}}
    return {"connect_args": connect_arguments(url)}


def _explained(error: Exception, url: str | None, paths: Paths) -> EnvironmentLacks:
    """An error of the database, with what to do about it."""
    database = f"the Optuna database {paths.optuna_database if url is None else mask(url)}"
    detail = mask(str(_of_the_driver(error)).strip().partition("\n")[0]) or type(error).__name__
    is_sqlite = url is None or url.startswith("sqlite")
    if is_sqlite and any(word in detail for word in ("malformed", "not a database", "no such table", "no such column")):
        return EnvironmentLacks(
            f"{database} is damaged ({detail}); "
            + (
                f"run `{pasteable('python -m sweep.doctor --repair')}`, which moves it away, then the same command: finished trials are "
                "found in mlruns and are not trained again"
                if url is None
                else "move it away or name another storage.url: finished trials are found in mlruns"
            )
        )
    if is_sqlite and ("disk is full" in detail or "disk I/O error" in detail):
        return EnvironmentLacks(
            f"{database} cannot be written ({detail}); free space on its disk, and check that no file size limit "
            "is set (`ulimit -f`); the same command then continues from the finished trials"
        )
    if is_sqlite and "locked" in detail:
        return EnvironmentLacks(
            f"{database} is being written by another process; wait for it and run the same command again"
        )
    return EnvironmentLacks(
        f"{database} cannot be opened or used: {detail}; check that its folder or server is writable, or set storage.url"
    )


def _of_the_driver(error: BaseException) -> BaseException:
    """The error of the database's driver, which SQLAlchemy and Optuna wrap in errors of their own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            return cause.orig
        if isinstance(cause, sqlite3.Error):
            return cause
        cause = cause.__cause__
    return error
