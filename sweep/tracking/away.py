"""Whether a store is away at the moment, or cannot be used at all, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.errors import EnvironmentLacks
from sweep.store.server_errors import passing_database_error, passing_network_error
from sweep.tracking.address import DATABASES, SERVERS, Address

_PASSING_STATUS = frozenset([408, 425, 429, 500, 502, 503, 504, 507])
BUSY_CODES = frozenset(
    [
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "CANCELLED",
    ]
)
"""MLflow's error codes for a store, of whatever kind, that is busy."""
# also what MLflow's client makes of a connection that was refused or cut, and of unknown statuses
_PASSING_CODES = BUSY_CODES | {"INTERNAL_ERROR"}
_UNRESOLVED = ("Name or service not known", "nodename nor servname", "No address associated")


class StoreAway(EnvironmentLacks):
    """The store does not take records at the moment; it may later."""


class Absence:
    """Whether the store is away, which is said once, as is its return.

    Args:
        store: the store's address without secrets.
        folder: where records are kept meanwhile.
        log: the file that has the reasons; None if there is none.
        say: called with each message for the user, one line.

    Attributes:
        is_now: whether it is away.
    """

    def __init__(self, store: str, folder: Path, log: Path | None, say: Callable[[str], None]) -> None:
        self.is_now = False
        self._store = store
        self._folder = folder
        self._log = log
        self._say = say

    @property
    def kept_in(self) -> str:
        """The folder of the kept records, relative to the current one if it is below it."""
        return _shown(self._folder)

    def begin(self, error: StoreAway | None = None) -> None:
        """Notes that the store is away.

        Args:
            error: why, unless the log has it.
        """
        if not self.is_now:
            more = f" (details in {_shown(self._log)})" if self._log else ""
            if error is not None:
                more = f" ({error.problems[0].splitlines()[0].removeprefix('tracking.uri: ')})"
            self._say(
                f"MLflow: {self._store} takes no records{more}; the study goes on, and records are kept in {self.kept_in}"
            )
        self.is_now = True

    def end(self) -> None:
        """Notes that the store takes records."""
        if self.is_now:
            self._say(f"MLflow: {self._store} takes records again; the kept ones follow")
        self.is_now = False


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def is_away(address: Address, error: BaseException | None) -> bool:
    """Whether a server or a database server did not answer, is full or is busy; a file is never away.

    Args:
        error: what MLflow, SQLAlchemy or the system raised.
    """
    if error is None or address.kind not in (*SERVERS, *DATABASES):
        return False
    if any(words in str(error) for words in _UNRESOLVED):
        return False
    status = _status(error)
    if status is not None:
        return status in _PASSING_STATUS
    if address.kind in SERVERS and getattr(error, "error_code", None) in _PASSING_CODES:
        return True
    return passing_network_error(error) or passing_database_error(error, reached=False) is not None


def _status(error: Any) -> int | None:
    """The status of an answer to a file that was sent; MLflow passes on the errors of its HTTP library there."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
