"""What the errors of a store's libraries mean: for the reader, and for the records that wait."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from mlflow.exceptions import MlflowException

from sweep.errors import EnvironmentLacks
from sweep.tracking.address import Address
from sweep.tracking.away import BUSY_CODES, is_away
from sweep.tracking.port import RecordRefused

_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's error codes for a record that the store will never take."""


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turns errors of the store's libraries into messages without passwords.

    Raises:
        RecordRefused: the store will never take the record.
        EnvironmentLacks: any other error; its context is the original one.
    """
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        cause = address.without_secrets(str(error).strip().partition("\n")[0][:500])
        text = f"tracking.uri: cannot record in {address.shown}: {cause}\n{_remedy(address, error)}"
        kind = RecordRefused if getattr(error, "error_code", None) in _REFUSALS else EnvironmentLacks
        # `from None`: a traceback of the original would show the address, password included
        raise kind(text) from None


def may_pass(address: Address, cause: BaseException | None) -> bool:
    """Whether a later attempt can succeed: the store is away, busy, or its disk is full.

    Args:
        cause: the original error.
    """
    if isinstance(cause, sqlalchemy.exc.SQLAlchemyError) or getattr(cause, "error_code", None) in BUSY_CODES:
        return True
    return is_away(address, cause) or getattr(cause, "errno", None) == errno.ENOSPC


def _remedy(address: Address, error: Exception) -> str:
    if isinstance(error, ImportError | sqlalchemy.exc.NoSuchModuleError):
        return "install the Python package that this database needs"
    if address.database is not None:
        return "check the disk and the permissions of the file, or choose another one: tracking.uri=sqlite:///PATH"
    return "check that it is running and accepts your account, or record in a file: tracking.uri=sqlite:///mlruns/mlflow.db"
