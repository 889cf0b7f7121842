"""Keeps passwords out of logs, records and MLflow."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?!/)\S*@", re.IGNORECASE)
_QUERY = re.compile(r"(?P<address>[a-z][a-z0-9+.-]*://[^\s?]*)\?\S+", re.IGNORECASE)
_URL_KEYS = ("tracking.uri", "storage.url")


def mask(url: str) -> str:
    """The URL with its account and its query replaced: `postgresql://***@host/db?***`.

    All up to the last `@` is taken for the account, so that a password may hold any letter.
    """
    hidden = _CREDENTIALS.sub(lambda match: f"{match['scheme']}***@", url)
    return _QUERY.sub(lambda match: f"{match['address']}?***", hidden)


def mask_file(file: Path) -> None:
    """Masks the URLs in a text file that a library wrote."""
    text = file.read_text(encoding="utf-8")
    masked = "".join(mask(line) for line in text.splitlines(keepends=True))
    if masked != text:
        file.write_text(masked, encoding="utf-8")


def without_secrets(composed: DictConfig) -> DictConfig:
    """A copy of the configuration in which no URL holds credentials."""
    copy = composed.copy()
    OmegaConf.set_readonly(copy, False)
    for key in _URL_KEYS:
        value = OmegaConf.select(copy, key)
        if isinstance(value, str):
            OmegaConf.update(copy, key, mask(value))
    return copy
