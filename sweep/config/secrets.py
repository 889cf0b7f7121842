"""Keeps passwords out of the configuration that is kept with records, and out of the files that Hydra writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweep.console.masking import mask

_URL_KEYS = ("tracking.uri", "storage.url")
_to_yaml = OmegaConf.to_yaml


def recorded_yaml(composed: DictConfig) -> str:
    """The resolved configuration as it is kept with records: no URL holds credentials."""
    copy = composed.copy()
    OmegaConf.set_readonly(copy, False)
    for key in _URL_KEYS:
        value = OmegaConf.select(copy, key)
        if isinstance(value, str):
            OmegaConf.update(copy, key, mask(value))
    return _to_yaml(copy, resolve=True)


@contextmanager
def masked_files() -> Iterator[None]:
    """Within the block, whatever configuration OmegaConf writes is masked.

    Hydra's sweepers keep the configuration and the overrides of a multirun as they were given (`multirun.yaml`), and so does
    `hydra.output_subdir`; to mask the files afterwards would be too late for a process that is killed.
    """

    def masked(cfg: Any, *, resolve: bool = False, sort_keys: bool = False) -> str:
        return mask(_to_yaml(cfg, resolve=resolve, sort_keys=sort_keys))

    OmegaConf.to_yaml = staticmethod(masked)  # type: ignore[method-assign]
    try:
        yield
    finally:
        OmegaConf.to_yaml = staticmethod(_to_yaml)  # type: ignore[method-assign]
