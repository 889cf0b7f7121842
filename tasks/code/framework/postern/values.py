"""The named values of requests and responses: headers, cookies, the query, and the JSON body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import fail

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Values(dict[str, str]):
    """Text by name."""

    def need(self, name: str, status: int = 400) -> str:
        """The value of this name.

        Raises:
            Problem: with `status`, if there is none.
        """
        value = self.get(name)
        return fail(status, f"{name} is missing") if value is None else value


class Headers(Values):
    """Values whose names are the same in upper and lower case."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        super().__init__()
        for name, value in (values or {}).items():
            self[name] = value

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.title(), value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.title())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of this name, or `default`."""
        return super().get(name.title(), default)


class Query(Values):
    """The parameters after the question mark of a path."""

    def read(self, **wanted: object) -> dict[str, object]:
        """The parameters asked for, each as its default's type: `query.read(page=1, sort="name", limit=int)`.

        Args:
            wanted: by name, the default, or a type (`int`, `float`, `bool`, `str`) where the parameter is required.

        Raises:
            Problem: 400, if one is missing or is not of its type.
        """
        return {name: self._typed(name, default) for name, default in wanted.items()}

    def _typed(self, name: str, default: object) -> object:
        if isinstance(default, type):
            return _converted(name, self.need(name), default)
        return _converted(name, self[name], type(default)) if name in self else default


class Body(dict[str, object]):
    """The JSON object that a request carries."""

    def pick(self, *names: str, **more: object) -> dict[str, object]:
        """The fields of these names, and `more` beside them: `body.pick("title", "seat", state="open")`.

        Raises:
            Problem: 400, if a field is missing.
        """
        return {**{name: self[name] if name in self else _missing(name) for name in names}, **more}


def _missing(name: str) -> object:
    return fail(400, f"{name} is missing")


def _converted(name: str, text: str, wanted: type) -> object:
    try:
        return _flag(text) if wanted is bool else wanted(text)
    except ValueError:
        return fail(400, f"{name} is not {_kind(wanted)}")


def _flag(text: str) -> bool:
    if text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    raise ValueError(text)


def _kind(wanted: type) -> str:
    return {int: "a whole number", float: "a number", bool: "yes or no"}.get(wanted, "text")


def names_of(values: Iterable[str]) -> str:
    """Names as one text, for messages."""
    return ", ".join(sorted(values)) or "none"
