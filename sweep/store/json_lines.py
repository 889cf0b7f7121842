"""Files of JSON objects, one per line, to which lines are added: what a killed process left half-written costs no other line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """The objects in a file, in order; lines that hold none are left out. Empty if there is no file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [parsed for line in lines if (parsed := _object(line)) is not None]


def add_json_line(file: Path, contents: Mapping[str, Any]) -> None:
    """Adds an object on a line of its own, even after a half-written one.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{json.dumps(dict(contents), allow_nan=False)}\n")


def _object(line: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
