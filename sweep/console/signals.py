"""What asks a sweep to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed. Imports nothing that takes time."""

from __future__ import annotations

import os
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CODE = 130


def heard() -> list[signal.Signals]:
    """Those of `STOPPING` that mean something to this process: under `nohup`, a closed terminal does not."""
    return [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def end_at_once() -> None:
    """From here on the signals end the process in one line: nothing is running yet that would have to be ended in order."""
    for number in heard():
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # no exception: half-imported libraries would swallow it, or show it as their own
    os.write(2, f"stopped by {signal.Signals(number).name}; the same command starts again\n".encode())
    os._exit(EXIT_CODE)
