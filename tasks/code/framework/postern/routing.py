"""Paths with parameters: `/orders/{number:int}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import SetupError
from .values import names_of

CONVERTERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "text": (r"[^/]+", str),
    "int": (r"-?[0-9]{1,18}", int),
    "float": (r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", float),
    "path": (r".+", str),
}
"""By name, the expression that a parameter must match, and what makes a value of it."""

_PARAMETER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Pattern:
    """A path that may have parameters."""

    expression: re.Pattern[str]
    converters: Mapping[str, Callable[[str], object]]

    def match(self, path: str) -> dict[str, object] | None:
        """The parameters of a path, by name; None if it is another path."""
        found = self.expression.fullmatch(path)
        if found is None:
            return None
        return {name: self.converters[name](text) for name, text in found.groupdict().items()}

    def below(self, prefix: Pattern) -> Pattern:
        """The pattern of this path behind another one."""
        joined = re.compile(prefix.expression.pattern + self.expression.pattern)
        return Pattern(joined, {**prefix.converters, **self.converters})


def pattern(path: str) -> Pattern:
    """The pattern of a path.

    Raises:
        SetupError: the path does not begin with a slash, or a parameter is malformed or has an unknown converter.
    """
    if not path.startswith("/"):
        raise SetupError(f"{path!r}: a path begins with a slash")
    converters: dict[str, Callable[[str], object]] = {}
    pieces: list[str] = []
    for number, piece in enumerate(_PARAMETER.split(path)):
        if number % 2 == 0:
            pieces.append(re.escape(piece))
            continue
        name, _, kind = piece.partition(":")
        if not name.isidentifier() or name in converters:
            raise SetupError(f"{path!r}: {name!r} is no name for a parameter, or is there twice")
        if (kind or "text") not in CONVERTERS:
            raise SetupError(f"{path!r}: unknown converter {kind!r}; there are {names_of(CONVERTERS)}")
        matched, converters[name] = CONVERTERS[kind or "text"]
        pieces.append(f"(?P<{name}>{matched})")
    return Pattern(re.compile("".join(pieces)), converters)


def within(path: str, prefix: str) -> bool:
    """Whether a path is `prefix` or lies below it."""
    prefix = prefix.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")
