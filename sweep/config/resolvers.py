"""The interpolations that the YAML files use beside OmegaConf's own."""

from __future__ import annotations

import re

from omegaconf import OmegaConf


def register_resolvers() -> None:
    """`${folder_name:PATH,...}` is the last part of a path or of `ORG/NAME`, made safe as a name."""
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def folder_name(*paths: str | None) -> str:
    """The last part of the first path (or `ORG/NAME`) given, in lower case, with `-` for whatever a name may not hold."""
    last = str(next((path for path in paths if path), "unnamed")).rstrip("/").rsplit("/", 1)[-1].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-.") or "unnamed"
