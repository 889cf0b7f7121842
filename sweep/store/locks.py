"""Locks between processes: whoever waits for one says for what, and does not wait for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import EnvironmentLacks

_SILENT_SECONDS = 1.0
_POLL_SECONDS = 0.1


def say_on_stderr(text: str) -> None:
    """Prints a line where it does not mix with results."""
    print(text, file=sys.stderr, flush=True)


def never_stop() -> None:
    """For waits that only their limit ends."""


@contextmanager
def held(
    file: Path,
    purpose: str,
    *,
    seconds: float,
    say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = never_stop,
) -> Iterator[None]:
    """Holds the lock of a file; the system frees it even if this process is killed.

    Args:
        purpose: what the process that holds it does, for the reader: "another process opens the database".
        seconds: the longest wait.
        say: told one line if there is a wait.
        check: called while waiting; may raise to end it.

    Raises:
        EnvironmentLacks: another process still holds it after so many seconds.
        OSError: the file cannot be made.
    """
    file.touch()  # FileLock would wait where it cannot make the file
    lock = FileLock(file)
    end, say_at = time.monotonic() + seconds, time.monotonic() + _SILENT_SECONDS
    said = False
    while not lock.is_locked:
        check()
        try:
            lock.acquire(timeout=_POLL_SECONDS, poll_interval=_POLL_SECONDS / 2)
        except Timeout:
            if time.monotonic() >= end:
                raise EnvironmentLacks(
                    f"{purpose} and has held {file} for {seconds:.0f} s; see which one with `fuser -v {file}`, "
                    "end it or wait for it, and run the same command again"
                ) from None
            if not said and time.monotonic() >= say_at:
                said = True
                say(f"waiting for {file}: {purpose} (at most {seconds:.0f} s)")
    try:
        yield
    finally:
        lock.release()
