"""Recording sweeps: one port, an MLflow store behind it, and an in-memory one for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.tracking.address import address_of
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import SweepRun, Tracker
from sweep.tracking.recorder import Recorder

if TYPE_CHECKING:
    from sweep.paths import Paths

__all__ = ["SweepRun", "Tracker", "check_address", "open_tracker"]


def check_address(uri: str | None) -> None:
    """Whether trackers of this kind are supported, without reaching for the store.

    Raises:
        ConfigurationError: no store of that kind is supported.
    """
    if uri is not None:
        address_of(uri)


def open_tracker(uri: str | None, paths: Paths) -> Tracker:
    """The tracker of a `tracking.uri`; opening a database that does not exist yet creates it, which takes seconds.

    Args:
        uri: None for the project's own database, `memory://` to record nothing, else an address MLflow takes.

    Raises:
        ConfigurationError: no store of that kind is supported.
        EnvironmentLacks: the store cannot be reached, opened or created.
    """
    address = address_of(f"sqlite:///{paths.mlflow_database}" if uri is None else uri)
    if address.kind == "memory":
        return MemoryTracker()
    own = paths.mlflow_database if uri is None else None
    if own is not None:
        own.parent.mkdir(parents=True, exist_ok=True)
    return Recorder(address.uri, paths.artifacts, own)
