"""The signals that stop a sweep: Ctrl-C, SIGTERM, and SIGHUP when a terminal closes. Imports nothing slow."""

from __future__ import annotations

import os
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CODE = 130


def heard() -> list[signal.Signals]:
    """Those of `STOPPING` that this process acts on; under `nohup`, SIGHUP is ignored."""
    return [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def end_at_once() -> None:
    """From now on the signals end the process with one line, since nothing is running yet that needs an orderly end."""
    for number in heard():
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # an exception could be swallowed by a library that is being imported
    os.write(2, f"stopped by {signal.Signals(number).name}; the same command starts again\n".encode())
    os._exit(EXIT_CODE)
