"""Whether a store is away at the moment, or cannot be used at all."""

from __future__ import annotations

from typing import Any

from sweep.errors import EnvironmentLacks
from sweep.store.server_errors import passing_database_error, passing_network_error
from sweep.tracking.address import DATABASES, SERVERS, Address

_PASSING_STATUS = frozenset([408, 425, 429, 500, 502, 503, 504, 507])
_PASSING_CODES = frozenset(
    [
        "INTERNAL_ERROR",  # also what MLflow's client makes of a connection that was refused or cut, and of unknown statuses
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "CANCELLED",
    ]
)
_UNRESOLVED = ("Name or service not known", "nodename nor servname", "No address associated")


class StoreAway(EnvironmentLacks):
    """The store does not take records at the moment; it may later."""


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
