"""Mappings as the value of an override, `{NAME: VALUE}`, in the words that Hydra reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = re.compile(r"[()\[\]{}:=,\s]")


def name_in_braces(name: str) -> str:
    """A name as Hydra reads it in braces: without quotes, which it does not take, and some signs with a backslash."""
    return _SIGNS.sub(r"\\\g<0>", name)


def in_braces(pairs: Iterable[tuple[str, int | float]]) -> str:
    """Numbers by name, such as ranks by pattern."""
    return f"{{{', '.join(f'{name_in_braces(name)}: {number!r}' for name, number in pairs)}}}"
