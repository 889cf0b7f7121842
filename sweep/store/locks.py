"""Who holds what: locks between processes, and which process an unfinished piece of work belongs to."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from sweep.errors import EnvironmentLacks, StudyBusy
from sweep.store.paths import Paths

_SILENT_SECONDS = 1.0
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 1.0
"""The longest that a process which only looks (`is_held`) may hold a lock; by far, on a machine that is busy."""


def say_on_stderr(text: str) -> None:
    """Prints a line to stderr, so that it does not mix with results."""
    print(text, file=sys.stderr, flush=True)


def never_stop() -> None:
    """The check of a wait that only its time limit ends."""


@contextmanager
def held(
    file: Path,
    purpose: str,
    *,
    seconds: float,
    say: Callable[[str], None] = say_on_stderr,
    check: Callable[[], None] = never_stop,
) -> Iterator[None]:
    """Holds the lock of a file; the system releases it even if this process is killed.

    Args:
        purpose: what the process that holds the lock does, as the start of a message: "another process opens the database".
        seconds: the time limit.
        say: receives one line if there is a wait.
        check: called while waiting; may raise to end the wait.

    Raises:
        EnvironmentLacks: another process still holds the lock after `seconds`.
        OSError: the file cannot be created.
    """
    file.touch()  # FileLock would wait where it cannot create the file
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


class Claims:
    """Files that this process has locked without waiting, to say that it does a piece of work. They are gone once released.

    The system releases the claims of a process that ends, however it ends.
    """

    def __init__(self) -> None:
        self._locks: dict[Path, FileLock] = {}

    def claim(self, file: Path) -> bool:
        """Returns whether the work is this process's own: False while another process holds the claim.

        True where files cannot be locked, since nothing is known of other processes then.
        """
        if file in self._locks:
            return True
        lock = FileLock(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()  # FileLock would report a holder where it cannot create the file
            lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            return True
        self._locks[file] = lock
        return True

    def release(self, file: Path) -> None:
        """Gives up a claim; does nothing if there is none."""
        lock = self._locks.pop(file, None)
        if lock is not None:
            with suppress(OSError):
                file.unlink()  # another process may have opened it just before: at worst, work is done twice
            lock.release()


@contextmanager
def study_lock(paths: Paths, study: str) -> Iterator[None]:
    """Holds the study's lock, so that one sweep of a study runs at a time.

    Raises:
        StudyBusy: another process holds it.
    """
    file = paths.lock(study)
    file.parent.mkdir(parents=True, exist_ok=True)
    holder_file = file.with_suffix(".pid")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=_LOOK_SECONDS)
    except Timeout:
        holder = study_holder(paths, study)
        raise StudyBusy(
            f"a sweep of study '{study}' is already running here (process {holder}); wait for it, stop it with "
            f"`kill {holder}` (it keeps what is finished), or give this one another name: study.name=OTHER"
        ) from None
    try:
        holder_file.write_text(str(os.getpid()))
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        lock.release()


def study_holder(paths: Paths, study: str) -> str:
    """The number of the process that holds the study's lock, as it was noted; `unknown` without a note."""
    try:
        return paths.lock(study).with_suffix(".pid").read_text().strip()
    except OSError:
        return "unknown"


def running_studies(paths: Paths) -> list[str]:
    """The studies that a sweep is running here."""
    return [file.stem for file in sorted(paths.lock("x").parent.glob("*.lock")) if is_held(file)]


def is_held(file: Path) -> bool:
    """Whether a process holds the lock of a file; False where files cannot be locked.

    A look shares a free lock with other looks for a moment, which `study_lock` waits for: `/proc/locks` would not show the holders in
    other containers.
    """
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def this_process() -> str:
    """This process, as `HOST:PID`: the owner of what it has begun."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_here(owner: str) -> bool:
    """Whether `HOST:PID` names a process of this machine."""
    host, _, process = owner.rpartition(":")
    return host == socket.gethostname() and process.isdigit()


def is_gone(owner: str) -> bool:
    """Whether `HOST:PID` names a process of this machine that has ended; False for other machines, which cannot be asked."""
    return is_here(owner) and not psutil.pid_exists(int(owner.rpartition(":")[2]))


def is_left(owner: str, by: str) -> bool:
    """Whether work that `HOST:PID` owns was left unfinished by a process that has ended.

    Args:
        by: the process that asks, which has begun nothing yet: work under its own number is from an earlier process of that number.
    """
    return owner == by or is_gone(owner)
