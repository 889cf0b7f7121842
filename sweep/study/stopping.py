"""Ctrl-C, SIGTERM and SIGHUP: the first signal ends the sweep in order, the second at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sweep.console.signals import heard
from sweep.errors import Interrupted


class StopRequest:
    """Whether a signal has asked the sweep to stop."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._twice = False

    @property
    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    def check(self) -> None:
        """Raises `Interrupted` after a signal; call where stopping is safe.

        Raises:
            Interrupted: the sweep was asked to stop.
        """
        if self._signal is not None:
            name = signal.Signals(self._signal).name
            raise Interrupted(f"stopped by {name}; what is finished is kept, and the same command continues from here")

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Handles the signals until the end of the block.

        Raises:
            Interrupted: a second signal came; it also replaces errors that the second signal caused.
        """
        before = {number: signal.signal(number, self._take) for number in heard()}
        try:
            yield self
        except Exception as error:
            if self._twice and not isinstance(error, Interrupted):
                raise Interrupted("stopped, asked twice; what is finished is kept") from error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._twice = True
            raise Interrupted(f"stopped by {signal.Signals(number).name}, asked twice; what is finished is kept")
        self._signal = number
