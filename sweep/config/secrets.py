"""Keeps passwords out of logs, records and MLflow."""

from __future__ import annotations

import re

from omegaconf import DictConfig, OmegaConf

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/@:\s]*)(:[^@\s]*)?@", re.IGNORECASE)
_URL_KEYS = ("tracking.uri", "storage.url")


def mask(url: str) -> str:
    """The URL with its user and password replaced: `postgresql://***@host/db`."""
    return _CREDENTIALS.sub(lambda match: f"{match['scheme']}***@", url)


def without_secrets(composed: DictConfig) -> DictConfig:
    """A copy of the configuration in which no URL holds credentials."""
    copy = composed.copy()
    OmegaConf.set_readonly(copy, False)
    for key in _URL_KEYS:
        value = OmegaConf.select(copy, key)
        if isinstance(value, str):
            OmegaConf.update(copy, key, mask(value))
    return copy
