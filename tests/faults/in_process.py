"""A command in this process, with its worker in a thread: real studies for tests that need no processes of their own.

Everything is as in a spawned command except the start of Python and the import of the libraries, which take most of its time.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sweep.commands import champion, predict, refresh, report, study, train
from sweep.commands.data_report import command as data
from sweep.commands.planning import command as plan
from sweep.console.command_line import called_as
from sweep.records import CapacityRequest
from sweep.runner.requirements import Requirements
from sweep.workers import child
from sweep.workers.worker import ChildProcess, Launcher
from tests.study.driven import Threads

COMMANDS: dict[str, Callable[[], int]] = {
    "sweep": study.main,
    "sweep.champion": champion.main,
    "sweep.data": data.main,
    "sweep.plan": plan.main,
    "sweep.predict": predict.main,
    "sweep.refresh": refresh.main,
    "sweep.report": report.main,
    "sweep.train": train.main,
}


def run_here(module: str, words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Runs `python -m MODULE WORDS` in a folder; returns the exit code, and what it printed."""
    resource_tracker.ensure_running()  # outlives the command, so it must not be at home in its folder
    printed = io.StringIO()
    with (
        workers_in_threads(),
        chdir(folder),
        patch.dict(os.environ),
        # as in a command, libraries may warn
        warnings.catch_warnings(action="default"),
        called_as(("python", "-m", module), words),
        patch.object(sys, "argv", [module, *words]),
        # child processes import the main module
        patch.object(sys.modules["__main__"], "__spec__", find_spec("sweep.__main__")),
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        code = COMMANDS[module]()
    return code, printed.getvalue()


@contextmanager
def workers_in_threads() -> Iterator[None]:
    """Workers are threads of this process, which load and train as a process of their own would."""
    import sweep.runner.runner  # seconds, which a budget would count

    assert sweep.runner.runner
    with patch.object(Launcher, "__call__", _start):
        yield


def _start(
    launcher: Launcher, place: int, capacity_request: CapacityRequest | None, requirements: Requirements
) -> tuple[Connection, ChildProcess]:
    ours, theirs = Threads.Pipe()
    arguments: tuple[Any, ...] = (theirs, launcher.setup, launcher.paths.root, capacity_request, requirements)
    thread = Threads.Process(target=child.serve, args=arguments, name="worker", daemon=True)
    thread.start()
    theirs.close()
    return ours, thread
