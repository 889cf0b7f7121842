"""Where the time of a process goes: chosen functions are timed, each without what it calls of the others."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch


class Spent:
    """Seconds by part; time that belongs to no part is `rest`. For one thread.

    Attributes:
        seconds: so far, by part.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[str] = ["rest"]
        self._since = time.perf_counter()

    def snapshot(self) -> dict[str, float]:
        """The seconds up to this moment."""
        self._book()
        return dict(self.seconds)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time inside is this part's, but for parts that begin within."""
        self._book()
        self._inside.append(name)
        try:
            yield
        finally:
            self._book()
            self._inside.pop()

    @contextmanager
    def watching(self, parts: Sequence[tuple[str, type, Sequence[str]]]) -> Iterator[None]:
        """Times these methods: part, class, names."""
        with ExitStack() as stack:
            for part, owner, names in parts:
                for name in names:
                    stack.enter_context(patch.object(owner, name, self._timed(part, getattr(owner, name))))
            yield

    def _book(self) -> None:
        clock = time.perf_counter()
        name = self._inside[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + clock - self._since
        self._since = clock

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def steps(*arguments: Any, **named: Any) -> Iterator[Any]:
                values = function(*arguments, **named)
                while True:
                    with self.part(part):
                        try:
                            value = next(values)
                        except StopIteration:
                            return
                    yield value

            return steps

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return function(*arguments, **named)

        return call


def methods_of(owner: type) -> list[str]:
    """The public methods that the class itself defines."""
    return [name for name, value in vars(owner).items() if inspect.isfunction(value) and not name.startswith("_")]
