"""One tick as a process, watched from outside: what it used, and what it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.faults.processes import family_of, in_folder

PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.1
_LONGEST_ZOMBIE = 20.0
"""Seconds after which a process that has ended must have been waited for."""


_NOTICES_SECONDS = 30.0
"""The longest that a process takes to notice that its parent was killed; it may have to import the libraries first."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A tick that is over.

    Attributes:
        code: its exit code; below zero the signal that ended it.
        output: what it printed.
        cpu: seconds of all cores, by the tick and the processes that it waited for.
        memory: the most that the tick itself took, in bytes.
        zombies: descendants that stayed unwaited for.
        struck: whether the disturbance found something to disturb.
        late: whether it did not end, and was killed.
    """

    code: int
    output: str
    cpu: float
    memory: int
    zombies: tuple[str, ...]
    struck: bool = False
    late: bool = False


def run_tick(
    folder: Path, start: float, rate: float = 1.0, delay: float = 0.0, disturb: Callable[[int], bool] | None = None
) -> Ended:
    """Runs a tick at a moment of the simulated clock.

    Args:
        start: seconds since the epoch.
        rate: simulated seconds for a real one.
        delay: real seconds after its study's start, after which the tick is disturbed, if it still runs.
        disturb: called with the tick's process number; returns whether there was something to disturb. If there was not, it is called
            again, until there is or the tick has ended.
    """
    log = folder.parent / "tick.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.nightly.soak.tick", str(start), str(rate)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
    began, studied, struck, late = time.monotonic(), 0.0, False, False
    since: dict[int, float] = {}
    zombies: dict[int, str] = {}
    memory = 0
    while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        now = time.monotonic()
        studied = studied or (now if family_of(process.pid)[1:] else 0.0)
        if disturb is not None and studied and now - studied >= delay:
            struck = disturb(process.pid)
            disturb = None if struck else disturb
        if now - began > PATIENCE_SECONDS:
            late = True
            os.kill(process.pid, signal.SIGKILL)  # `Popen.kill` might wait for it, whose usage is wanted here
        memory = max(memory, _peak_memory(process.pid))
        ended = _ended_children(process.pid)
        zombies |= {
            number: name for number, name in ended.items() if now - since.setdefault(number, now) > _LONGEST_ZOMBIE
        }
        time.sleep(_LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(waited[1])
    used = waited[2]
    return Ended(
        process.returncode,
        log.read_text(errors="replace"),
        used.ru_utime + used.ru_stime,
        memory,
        tuple(zombies.values()),
        struck,
        late,
    )


def left_in(folder: Path) -> tuple[str, ...]:
    """The processes that stay in the folder: those that are just starting notice only then that nobody needs them."""
    end = time.monotonic() + _NOTICES_SECONDS
    while (left := in_folder(folder)) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    return tuple(map(_named, left))


def _ended_children(tick: int) -> dict[int, str]:
    ended = {}
    for process in family_of(tick)[1:]:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                ended[process.pid] = process.name()
        except psutil.NoSuchProcess:
            continue
    return ended


def _peak_memory(number: int) -> int:
    """The peak of a running process, in bytes (proc(5)); 0 once it has ended. `ru_maxrss` would begin with that of its parent."""
    try:
        status = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _named(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:6])
    except psutil.Error:
        return str(process.pid)
