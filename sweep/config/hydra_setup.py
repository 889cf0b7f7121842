"""What Hydra gets before it composes: the defaults of all keys, our interpolations, and masking of what it writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sweep.config.keys import default_values
from sweep.config.tasks import register_tasks
from sweep.console.masking import mask_quoted

DEFAULTS = "all_keys"
"""The configuration with every key and its default, first in the defaults list of `conf/sweep.yaml`."""

_ENDINGS = re.compile(r"(\.(jsonl|ndjson|json|csv|tsv|txt|parquet))?(\.(gz|zst))?$", re.IGNORECASE)

_to_yaml = OmegaConf.to_yaml


def set_up_hydra() -> None:
    """Registers the defaults of all keys, our interpolations, and the tasks that can be found from the working directory.

    Needed before Hydra composes, once per process and working directory.
    """
    ConfigStore.instance().store(DEFAULTS, default_values(), provider="sweep.config.schema")
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("file_name", file_name, replace=True)
    register_tasks()


def folder_name(*paths: str | None) -> str:
    """The last part of the first path (or `ORG/NAME`) that is not empty, lower case, with `-` for characters no name may have."""
    last = str(next((path for path in paths if path), "unnamed")).rstrip("/").rsplit("/", 1)[-1].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-.") or "unnamed"


def file_name(path: str | None) -> str:
    """As `folder_name`, without the endings of a file of data."""
    return folder_name(_ENDINGS.sub("", str(path)) if path else None)


@contextmanager
def masked_files() -> Iterator[None]:
    """Masks passwords in every configuration that OmegaConf writes within the block.

    Hydra's sweepers keep the configuration and the overrides of a multirun as given (`multirun.yaml`), and so does
    `hydra.output_subdir`. Masking the files afterwards would be too late for a process that is killed.
    """

    def masked(cfg: Any, *, resolve: bool = False, sort_keys: bool = False) -> str:
        return mask_quoted(_to_yaml(cfg, resolve=resolve, sort_keys=sort_keys))

    OmegaConf.to_yaml = staticmethod(masked)  # type: ignore[method-assign]
    try:
        yield
    finally:
        OmegaConf.to_yaml = staticmethod(_to_yaml)  # type: ignore[method-assign]
