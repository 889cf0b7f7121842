"""The lock of a tick: one process at a time runs the studies of a night in a folder.

The lock is a file that names its holder: host, process number, and when that process started. A process number alone is used again
sooner or later, in containers at once; with the start time a lock that a killed process left behind is recognized. Of a holder on
another machine only its sign of life is known: the file's time, which a living holder renews.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sweep.errors import StudyBusy
from sweep.store.locks import held
from sweep.store.whole_file import replace_text

_PATIENCE_SECONDS = 30.0
_SILENT_SECONDS = 900.0
"""A holder on another machine that gave no sign of life for so long has ended."""


class TickRunning(StudyBusy):
    """Another process runs the studies of this night."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        host: the machine; in a container the container.
        started: when the process started, as text that no other process of that number has.
    """

    host: str
    process: int
    started: str

    def is_here(self) -> bool:
        """Whether it is or was a process of this machine."""
        return self.host == _this_host()

    def is_running(self) -> bool:
        """Whether this very process runs here: not another one that was given its number."""
        return self.is_here() and process_start(self.process) == self.started


class TickLock:
    """A lock that this process holds."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def renew(self) -> None:
        """Gives a sign of life to other machines; call it every few minutes at least."""
        with suppress(OSError):
            os.utime(self._file)


@contextmanager
def tick_lock(file: Path) -> Iterator[TickLock]:
    """Holds the lock within the block.

    Raises:
        TickRunning: another process holds it.
        EnvironmentLacks, OSError: the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    me = Holder(_this_host(), os.getpid(), process_start(os.getpid()) or "")
    guard = file.with_suffix(".guard")
    with held(guard, "another tick begins or ends", seconds=_PATIENCE_SECONDS):
        other = holder(file)
        if other is not None and not is_stale(file, other, guard):
            raise TickRunning(
                f"the studies of this night are running already (process {other.process} of {other.host.partition(' ')[0]})"
            )
        replace_text(file, json.dumps({"host": me.host, "process": me.process, "started": me.started}))
    try:
        yield TickLock(file)
    finally:
        with held(guard, "another tick begins or ends", seconds=_PATIENCE_SECONDS):
            if holder(file) == me:
                file.unlink(missing_ok=True)


def holder(file: Path) -> Holder | None:
    """The process that holds or held the lock; None if there is none, or its file is damaged, which a whole write cannot leave."""
    try:
        contents = json.loads(file.read_text(encoding="utf-8"))
        return Holder(str(contents["host"]), int(contents["process"]), str(contents["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_stale(file: Path, other: Holder, fresh: Path) -> bool:
    """Whether the holder of a lock has ended.

    Args:
        fresh: a file beside it that has just been touched: its time is what the file system's clock shows.
    """
    if other.is_here():
        return not other.is_running()
    fresh.touch()
    try:
        return fresh.stat().st_mtime - file.stat().st_mtime > _SILENT_SECONDS
    except FileNotFoundError:
        return True


def running_tick(file: Path) -> Holder | None:
    """The process that runs this night's studies, None if there is none; for status."""
    other = holder(file)
    if other is None or (other.is_here() and not other.is_running()):
        return None
    return other


def process_start(number: int) -> str | None:
    """When a process of this machine started; None if it has ended.

    On Linux in clock ticks since a boot, which stays the same when the time of day is set.
    """
    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        created = process.create_time()
    except psutil.Error:
        return None
    try:
        # the name, the second field, may contain anything; starttime is the 22nd (proc_pid_stat(5))
        ticks = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return f"{created:.2f}"
    return f"{boot} {ticks}"


def _this_host() -> str:
    """The machine's name, and on Linux the namespace in which its process numbers count."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
