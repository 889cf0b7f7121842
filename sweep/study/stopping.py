"""Ctrl-C, SIGTERM and SIGHUP: asked once, the sweep ends in order; asked twice, at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sweep.console.signals import heard
from sweep.errors import Interrupted


class StopRequest:
    """Whether a person or the system has asked the sweep to stop."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._twice = False

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
        """Takes the signals over until the end of the block.

        Raises:
            Interrupted: the sweep was asked twice; whatever broke because of that is not the reader's affair.
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
