"""Optuna's database: opened once at a time, with heartbeats, its words kept quiet."""

from __future__ import annotations

import logging
import os
import warnings

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.masking import mask
from sweep.paths import Paths
from sweep.sqlite_files import write_ahead

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 90
"""A trial of another machine whose heart has not beaten for so long is dead."""


def existing_storage(url: str | None, paths: Paths) -> RDBStorage:
    """The database, for reading: nothing is made where there is none.

    Raises:
        ConfigurationError: nobody has run a study here yet.
        EnvironmentLacks: it cannot be opened.
    """
    if url is None and not paths.optuna_database.exists():
        raise ConfigurationError(
            f"there is no study here: {paths.optuna_database} does not exist; go to the folder where the sweep was run, "
            "or run `python -m sweep +study=pharma`"
        )
    return open_storage(url, paths)


def open_storage(url: str | None, paths: Paths) -> RDBStorage:
    """The database of `storage.url`, by default `mlruns/optuna.db`.

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
    address = url or f"sqlite:///{paths.optuna_database}"
    try:
        # two processes that make the tables at once crash one another
        with FileLock(paths.root / "optuna.db.lock"):
            if url is None:
                write_ahead(paths.optuna_database)
            return RDBStorage(
                address,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                engine_kwargs={"connect_args": {"timeout": 60}} if address.startswith("sqlite") else None,
            )
    except Exception as error:
        raise EnvironmentLacks(
            f"the Optuna database {mask(address)} cannot be opened: {mask(str(error).splitlines()[0])}; "
            "see that its folder or server can be written to, or set storage.url"
        ) from None
