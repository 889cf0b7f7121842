"""Recording sweeps: one port, an MLflow store behind it, and an in-memory one for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.tracking.address import address_of
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import Refused, Summary, SweepRun, Tracker, has_page
from sweep.tracking.recorder import Recorder

if TYPE_CHECKING:
    from sweep.store.paths import Paths

__all__ = ["Refused", "Summary", "SweepRun", "Tracker", "check_address", "has_page", "open_tracker", "shown_store"]


def check_address(uri: str | None, paths: Paths) -> None:
    """Whether trackers of this kind are supported, without reaching for the store.

    Args:
        uri: None for the project's own database.

    Raises:
        ConfigurationError: no store of that kind is supported.
        EnvironmentLacks: the project's own database cannot be in this folder.
    """
    if uri is not None:
        address_of(uri)
        return
    try:
        address_of(f"sqlite:///{paths.mlflow_database}")
    except ConfigurationError as error:
        raise EnvironmentLacks(
            f"MLflow's database cannot be in {paths.root}: its path holds '?' or '%' with two digits, which MLflow reads as "
            "part of an address; rename the folder, or name another place: tracking.uri=sqlite:////FOLDER/mlflow.db"
        ) from error


def shown_store(uri: str | None, paths: Paths) -> str | None:
    """The address of the store that a `tracking.uri` names, without secrets; None if nothing is recorded."""
    address = address_of(f"sqlite:///{paths.mlflow_database}" if uri is None else uri)
    return None if address.kind == "memory" else address.shown


def open_tracker(uri: str | None, paths: Paths, study: str, say: Callable[[str], None] = lambda text: None) -> Tracker:
    """The tracker of a `tracking.uri`; opening a database that does not exist yet creates it, which takes seconds.

    Args:
        uri: None for the project's own database, `memory://` to record nothing, else an address MLflow takes.
        study: its log takes what MLflow prints.
        say: told what a person should know of the store, a line each.

    Raises:
        ConfigurationError: no store of that kind is supported.
        EnvironmentLacks: the store cannot be reached, opened or created.
    """
    check_address(uri, paths)
    address = address_of(f"sqlite:///{paths.mlflow_database}" if uri is None else uri)
    if address.kind == "memory":
        return MemoryTracker()
    own = paths.mlflow_database if uri is None else None
    if own is not None:
        own.parent.mkdir(parents=True, exist_ok=True)
    return Recorder(address.uri, paths.artifacts, paths.journals, own, paths.log(study), say)
