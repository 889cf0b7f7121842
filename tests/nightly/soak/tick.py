"""A tick under a simulated clock, as a process: `python -m tests.nightly.soak.tick START RATE`."""

from __future__ import annotations

import sys

from sweep.commands.scheduling.running import run_nights
from sweep.console.command import run
from sweep.nightly.clock import ShiftedClock
from sweep.store.paths import Paths

if __name__ == "__main__":
    start, rate = map(float, sys.argv[1:])
    sys.exit(run(lambda: run_nights(Paths.here(), clock=ShiftedClock(start, rate))))
