"""Random instants in the run of a study: spread over what it does, not over the clock, since loading takes most of the time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.faults.call import LIMIT_SECONDS, Call
from benchmarks.faults.processes import waited

EARLIEST_SECONDS = 0.15
"""Before, the interpreter itself is starting, and a signal meets nothing of ours."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A number of seconds after a number of output lines, or at the next line if that is earlier."""

    lines: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s after line {self.lines}"

    def await_in(self, call: Call) -> bool:
        """Waits for it in a running call; returns whether the call still runs then."""
        waited(lambda: call.lines() >= self.lines, LIMIT_SECONDS, call.is_over)
        # a run that is faster than the one that the seconds were drawn for must not get away
        waited(lambda: call.lines() > self.lines, self.seconds, call.is_over)
        return not call.is_over()


def drawn(random: Random, timeline: Sequence[float]) -> Moment:
    """An instant between two lines of output, or before the first, or after the last.

    Args:
        timeline: see `timeline_of`.
    """
    lines = random.randrange(len(timeline) - 1)
    earliest = 0.0 if lines else EARLIEST_SECONDS
    return Moment(lines, random.uniform(earliest, timeline[lines + 1] - timeline[lines]))


def timeline_of(call: Call) -> list[float]:
    """Lets a call run to its end; seconds of its start, of each line that tells of progress, and of its end."""
    began = time.monotonic()
    stamps = [0.0]

    def ended() -> bool:
        over = call.is_over()
        stamps.extend([time.monotonic() - began] * (call.lines() + 1 - len(stamps)))
        return over

    waited(ended, LIMIT_SECONDS)
    output = [line for line in call.end().output.splitlines() if not line.startswith(" ")]
    # the table that follows the first empty line comes all at once
    progress = output.index("") if "" in output else len(output)
    return [*stamps[: progress + 1], time.monotonic() - began]
