"""Recording sweeps: one interface, an MLflow store behind it, and an in-memory implementation for tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sweep.console.command_line import pasteable
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.store.locks import this_process
from sweep.tracking.address import DATABASES, Address, address_of
from sweep.tracking.locations import earlier_places
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import (
    CHAMPION,
    VERDICT,
    Champion,
    DataSet,
    KnownResults,
    RecordRefused,
    Summary,
    SweepRun,
    Tracker,
)
from sweep.tracking.recorder import Recorder

if TYPE_CHECKING:
    from sweep.store.paths import Paths
    from sweep.tracking.stored_experiment import StoredExperiment

__all__ = [
    "CHAMPION",
    "VERDICT",
    "Champion",
    "DataSet",
    "KnownResults",
    "RecordRefused",
    "Summary",
    "SweepRun",
    "Tracker",
    "check_address",
    "create_store",
    "open_tracker",
    "shown_store",
    "stored_experiment",
]


def check_address(uri: str | None, paths: Paths) -> None:
    """Checks that a store of this kind is supported, without connecting to it.

    Args:
        uri: None for the project's own database.

    Raises:
        ConfigurationError: no store of that kind is supported.
        EnvironmentLacks: the project's own database cannot be in this folder.
    """
    try:
        _address(uri, paths)
    except ConfigurationError as error:
        if uri is not None:
            raise
        raise EnvironmentLacks(
            f"MLflow's database cannot be in {paths.root}: the path contains '?' or '%' with two digits, which MLflow reads as "
            "part of a URL; rename the folder, or choose another place: tracking.uri=sqlite:////FOLDER/mlflow.db"
        ) from error


def shown_store(uri: str | None, paths: Paths) -> str | None:
    """The address of the store that a `tracking.uri` names, without secrets; None if nothing is recorded."""
    address = _address(uri, paths)
    return None if address.kind == "memory" else address.shown


def open_tracker(uri: str | None, paths: Paths, study: str, say: Callable[[str], None] = lambda text: None) -> Tracker:
    """The tracker of a `tracking.uri`. A database that does not exist is created, which takes seconds.

    Args:
        uri: None for the project's own database, `memory://` to record nothing, else an address that MLflow accepts.
        study: its log takes what MLflow prints.
        say: called with each message for the user, one line.

    Raises:
        ConfigurationError: no store of that kind is supported.
        EnvironmentLacks: the store cannot be reached, opened or created.
    """
    check_address(uri, paths)
    address = _address(uri, paths)
    if address.kind == "memory":
        return MemoryTracker()
    own = paths.mlflow_database if uri is None else None
    if own is not None:
        own.parent.mkdir(parents=True, exist_ok=True)
        _warn_if_moved(paths, say)
    return Recorder(address.uri, paths.artifacts, paths.journals, own, paths.log(study), say)


def create_store(paths: Paths) -> None:
    """Creates the project's own database with MLflow's tables if there is none, which takes seconds.

    Raises:
        EnvironmentLacks: it cannot be created in this folder.
    """
    if paths.mlflow_database.exists():
        return
    check_address(None, paths)
    from sweep.tracking.recorder_process import RecorderSettings, local_tracker

    paths.mlflow_database.parent.mkdir(parents=True, exist_ok=True)
    own = paths.mlflow_database
    local_tracker(RecorderSettings(_address(None, paths).uri, paths.artifacts, this_process(), own))


def stored_experiment(uri: str, name: str) -> StoredExperiment:
    """An experiment in the store that a `tracking.uri` names, to be read; this process does not wait for a silent database from then on.

    Raises:
        ConfigurationError, EnvironmentLacks: see `StoredExperiment`.
    """
    # says how MLflow behaves in this process, so it is imported first
    import sweep.tracking.mlflow_client
    from sweep.tracking.stored_experiment import StoredExperiment

    assert sweep.tracking.mlflow_client
    if address_of(uri).kind in DATABASES:
        from sweep.tracking.recorder_process import limit_waits

        limit_waits()
    return StoredExperiment(uri, name)


def _warn_if_moved(paths: Paths, say: Callable[[str], None]) -> None:
    """Says so if artifacts would be written to the folder in which the store was before."""
    with suppress(EnvironmentLacks):  # whoever opens the database next will meet it
        for place in earlier_places(paths.mlflow_database, paths.root)[:1]:
            repair = pasteable("python -m sweep.doctor --repair")
            say(
                f"MLflow: {paths.root} was moved, and artifacts still go to {place.root}; stop, and run `{repair}` first"
            )


def _address(uri: str | None, paths: Paths) -> Address:
    return address_of(f"sqlite:///{paths.mlflow_database}" if uri is None else uri)
