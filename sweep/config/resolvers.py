"""The interpolations that the YAML files use beside OmegaConf's own."""

from __future__ import annotations

import re

from omegaconf import OmegaConf


def register_resolvers() -> None:
    """`${folder_name:PATH}` is the last part of a path or of `ORG/NAME`, made safe as a name."""
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def folder_name(path: str) -> str:
    """The last part of a path or of `ORG/NAME`, in lower case, with `-` for whatever a name may not hold."""
    last = str(path).rstrip("/").rsplit("/", 1)[-1].lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-.") or "unnamed"
