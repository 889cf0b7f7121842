"""A next step for the user."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A command to copy, and its purpose."""

    command: str
    purpose: str = ""
