"""What a study does while the server of its database is away: trials that are running go on, and what must be recorded waits.

A database server is restarted, cut off or full for minutes at a time, and a study runs for hours. The sweep therefore repeats what
the server did not take, for a limited time and with words, and then ends: finished trials are folders, so the next run goes on
from there. An answer that is lost on the way back may belong to a write that was made; each write can be repeated without being
made twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from sweep.console.masking import mask
from sweep.errors import EnvironmentLacks
from sweep.search.optuna_internals import in_transaction, transaction
from sweep.store.server_errors import passing_database_error

T = TypeVar("T")

_RETRY_SECONDS = 2.0
"""Between attempts to reach a server that is away."""


class Patience:
    """Waits for one database server.

    Args:
        server: the server's address without secrets.
        seconds: the longest wait; afterwards nothing is waited for any more.
        kept: where finished trials are.
        say: called with one line when the server is found away, when something waits for it, and when it is back.
        check: called while waiting; may raise to end the wait.
    """

    def __init__(
        self, server: str, seconds: float, kept: str, say: Callable[[str], None], check: Callable[[], None]
    ) -> None:
        self._server = server
        self._seconds = seconds
        self._kept = kept
        self._say = say
        self._check = check
        self._reached = False
        self._is_away = False
        self._ended: EnvironmentLacks | None = None

    def repeat(self, attempt: Callable[[bool], T]) -> T:
        """Calls `attempt` until the server takes it; returns its result.

        Args:
            attempt: its argument says whether an earlier attempt may have been made although no answer came.

        Raises:
            EnvironmentLacks: the server stayed away; afterwards at the first failure.
        """
        began, tries, is_said = time.monotonic(), 0, False
        while True:
            try:
                result = attempt(tries > 0)
            except (SQLAlchemyError, StorageInternalError) as error:
                reason = self._why_away(error)
                if reason is None:
                    raise
                if self._ended is not None:
                    raise self._ended from error
                tries += 1
                if tries == 1 and self._reached:
                    continue  # the connection was idle for too long, or the server was restarted in between
                if not is_said:
                    self._note_wait(reason)
                    is_said = True
                if time.monotonic() - began >= self._seconds:
                    self._ended = self._lack(reason)
                    raise self._ended from error
            else:
                self._note_back()
                return result
            self._pause()

    def once(self, attempt: Callable[[], T]) -> T | None:
        """Calls `attempt`, which can do without the server; None if it is away."""
        try:
            result = attempt()
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = self._why_away(error)
            if reason is None:
                raise
            if not self._is_away:
                self._say(f"storage.url: {self._server} is away ({reason}); running trials go on")
            self._is_away = True
            return None
        self._note_back()
        return result

    def _pause(self) -> None:
        end = time.monotonic() + _RETRY_SECONDS
        while (left := end - time.monotonic()) > 0:
            self._check()
            time.sleep(min(0.25, left))

    def _why_away(self, error: BaseException) -> str | None:
        reason = passing_database_error(error, reached=self._reached)
        return None if reason is None else mask(reason)

    def _note_wait(self, reason: str) -> None:
        does = "does not take what must be recorded next" if self._reached else "does not answer"
        meanwhile = "; running trials go on, and this" if self._reached else "; this"
        self._say(f"storage.url: {self._server} {does} ({reason}){meanwhile} waits for up to {_span(self._seconds)}")
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            self._say(f"storage.url: {self._server} is back")
        self._is_away, self._reached = False, True

    def _lack(self, reason: str) -> EnvironmentLacks:
        return EnvironmentLacks(
            f"storage.url: {self._server} was away for {_span(self._seconds)} ({reason}). What is finished is kept in "
            f"{self._kept}: start the server, and the same command continues from there"
        )


def written(storage: RDBStorage, write: Callable[[bool], T]) -> T:
    """Makes everything that `write` writes to the storage one transaction, which is repeated while the server is away.

    Args:
        write: its argument says whether an earlier attempt may have been written; then it must not write twice.
    """

    def attempt(again: bool) -> T:
        with transaction(storage):
            return write(again)

    patience: Patience | None = getattr(storage, "patience", None)
    return attempt(False) if patience is None or in_transaction(storage) else patience.repeat(attempt)


def _span(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
