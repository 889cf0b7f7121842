"""What time it is: the system's clock, or one that a test or a simulation shifts and speeds up."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A clock that tells the time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def wait(self, seconds: float) -> float:
        """How many real seconds pass while this clock advances by `seconds`; for time limits of the operating system."""
        ...

    def sleep(self, seconds: float) -> None:
        """Returns when this clock has advanced by `seconds`."""
        ...


class SystemClock:
    """The system's clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.time()

    def wait(self, seconds: float) -> float:
        """See `Clock.wait`."""
        return seconds

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)


class ShiftedClock:
    """A clock that shows `start` when it is made, and from then on runs `rate` times as fast as real time.

    Processes that run beside it take real time: with `rate=1`, a study that starts at two o'clock of a simulated night takes as
    long as it would at that hour.
    """

    def __init__(self, start: float, rate: float = 1.0) -> None:
        self._start, self._rate = start, rate
        self._began = time.monotonic()

    def now(self) -> float:
        """See `Clock.now`."""
        return self._start + self._rate * (time.monotonic() - self._began)

    def wait(self, seconds: float) -> float:
        """See `Clock.wait`."""
        return seconds / self._rate

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds / self._rate)
