"""The processes of a sweep, seen from outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_PAUSE_SECONDS = 0.05


def waited(true: Callable[[], bool], seconds: float, over: Callable[[], bool] = lambda: False) -> bool:
    """Waits until something is true.

    Args:
        seconds: how long at most.
        over: whether waiting has become pointless.

    Returns:
        Whether it became true.
    """
    end = time.monotonic() + seconds
    while not true():
        if over() or time.monotonic() > end:
            return true()
        time.sleep(_PAUSE_SECONDS)
    return True


def has_ended(number: int) -> bool:
    """Whether the process of this number has ended, even if its parent has not noticed."""
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def spawned_by(sweep: int) -> list[psutil.Process]:
    """The worker and recorder processes of a sweep, given its process id."""
    children = psutil.Process(sweep).children(recursive=True)
    return [child for child in children if any("spawn_main" in word for word in _command(child))]


def workers_of(sweep: int) -> list[psutil.Process]:
    """The worker processes of a sweep, given its process id."""
    return [child for child in spawned_by(sweep) if not records(child)]


def records(child: psutil.Process) -> bool:
    """Whether a spawned process is the one that records in MLflow's database."""
    return any(file.name == "mlflow.db" for file in _open_files(child))


def logs(child: psutil.Process) -> bool:
    """Whether a spawned process is a worker that has begun to work: all it prints goes to the study's log."""
    return any(file.suffix == ".log" for file in _open_files(child))


def family_of(sweep: int) -> list[psutil.Process]:
    """A sweep's process and all that it started, itself first."""
    try:
        process = psutil.Process(sweep)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def in_folder(folder: Path) -> list[psutil.Process]:
    """The processes whose working directory is this folder."""
    place = str(folder.resolve())
    return [
        process
        for process in psutil.process_iter(["cwd", "status"])
        if process.info["cwd"] == place and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def end_all(processes: list[psutil.Process]) -> None:
    """Kills what is still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _command(child: psutil.Process) -> list[str]:
    try:
        return child.cmdline()
    except psutil.Error:  # it ends at the moment, or begins
        return []


def _open_files(child: psutil.Process) -> list[Path]:
    try:
        return [Path(file.path) for file in child.open_files()]
    except psutil.Error:
        return []
