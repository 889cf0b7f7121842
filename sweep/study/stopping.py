"""Ctrl-C and SIGTERM: asked once, the sweep ends in order; asked twice, at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sweep.errors import Interrupted


class StopRequest:
    """Whether a person or the system has asked the sweep to stop."""

    def __init__(self) -> None:
        self._signal: int | None = None

    def check(self) -> None:
        """Call where stopping is safe.

        Raises:
            Interrupted: the sweep was asked to stop.
        """
        if self._signal is not None:
            name = signal.Signals(self._signal).name
            raise Interrupted(f"stopped by {name}; what is finished is kept, and the same command goes on from here")

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Takes the signals over until the end of the block."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise Interrupted(f"stopped by {signal.Signals(number).name}, asked twice")
        self._signal = number
