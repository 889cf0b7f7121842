"""How far the report is, from two seconds on, in a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sweep.reports.closing import PlainColumn

_AFTER_SECONDS = 2.0
_SMALLEST_STEP = 0.002


class Watch:
    """A bar with the time left, for each step of the work; nothing before two seconds have passed. Use as a context manager."""

    def __init__(self, out: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._bars = Progress(
            PlainColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        self._task: TaskID | None = None
        self._shown = 0.0

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def step(self, what: str) -> Callable[[float], None]:
        """Begins a step; returns the callback for its progress, from 0 to 1."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=1.0)
        self._shown = 0.0

        def advance(share: float) -> None:
            if share - self._shown < _SMALLEST_STEP or self._task is None:
                return
            self._shown = share
            self._bars.update(self._task, completed=share)
            if self._now() - self._began >= _AFTER_SECONDS:
                self._bars.start()

        return advance
