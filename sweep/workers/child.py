"""A worker's process: loads its setup, then runs the trials that its parent sends, and never outlives its parent."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.console.masking import mask_log
from sweep.errors import GoldilocksError
from sweep.records import CapacityRequest, WorkerSetup
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.training.device_errors import first_line, is_device_failure, is_out_of_memory
from sweep.workers.messages import (
    Decision,
    DeviceFailure,
    LossReport,
    PackFailure,
    Progress,
    Refusal,
    RunTrial,
    TrialEnd,
    WorkerReady,
)

if TYPE_CHECKING:
    from sweep.runner.runner import TrialRunner

_COMPILED_SHAPES = "32"
"""About the number of differently shaped matrix products in one training step."""

_TOGETHER_SECONDS = 0.05
"""Pause after which a worker that waited takes no further trial as sent together with the last one."""


def main(
    connection: Connection,
    setup: WorkerSetup,
    root: str,
    log: str,
    parent: int,
    capacity_request: CapacityRequest | None,
    requirements: Requirements,
) -> None:
    """Runs trials until the parent closes the connection.

    Args:
        root: the folder `mlruns`.
        log: the file to which everything printed here is appended.
        parent: the process id of the parent.
        capacity_request: see `sweep.runner.setup.load_setup`.
        requirements: what base and data must be.
    """
    _write_output_to(Path(log))
    mask_log()
    _end_with_parent(parent)
    # Ctrl-C and a closed terminal signal every process of the terminal; the parent alone decides what they mean
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        set_threads(setup.threads)
    except Exception as error:  # torch is imported here
        _refuse(connection, error)
        return
    serve(connection, setup, Path(root), capacity_request, requirements)


def serve(
    connection: Connection,
    setup: WorkerSetup,
    root: Path,
    capacity_request: CapacityRequest | None,
    requirements: Requirements,
) -> None:
    """Loads the setup, then runs trials until the parent closes the connection; see `main`."""
    from sweep.training.machine import compiling_on_first_call, quiet_libraries, quiet_progress

    quiet_libraries()
    try:
        gc.disable()  # what the libraries make while they are imported stays: collections would only search it
        try:
            with compiling_on_first_call():
                from sweep.runner.runner import TrialRunner
                from sweep.runner.setup import load_setup
        finally:
            gc.enable()

        quiet_progress()
        gc.collect()
        gc.freeze()  # without the libraries' objects, each collection takes a quarter of a second less
        loaded = load_setup(setup, Paths(root), capacity_request, requirements)
        runner = TrialRunner(loaded)
    except GoldilocksError as error:
        _send(connection, Refusal.of(error))
        return
    except Exception as error:
        _refuse(connection, error)
        return
    _send(connection, WorkerReady(loaded.description))
    _run_trials(connection, runner)


class ParentEnded(SystemExit):
    """The parent has ended, so the worker does, wherever it is: no `except Exception` takes it for a failure of a trial."""


def _send(connection: Connection, message: object) -> None:
    """Sends a message to the parent.

    Raises:
        ParentEnded: nobody receives it.
    """
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise ParentEnded from None


class _Inbox:
    """The parent's messages, in order; a decision may arrive after trials that were sent later."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._orders: deque[RunTrial] = deque()

    def orders(self, *, wait: bool) -> Iterator[RunTrial]:
        """The trials to begin; with `wait` at least one, and those sent right after it, so that they share passes from the start.

        Raises:
            EOFError: the parent has closed the connection.
        """
        while (wait and not self._orders) or self._connection.poll(_TOGETHER_SECONDS if wait else 0.0):
            self._add(self._connection.recv())
        while self._orders:
            yield self._orders.popleft()

    def decision(self) -> Decision:
        """Waits for the decision on the report that was sent last.

        Raises:
            ParentEnded: none comes.
        """
        try:
            while not isinstance(message := self._connection.recv(), Decision):
                self._add(message)
        except (EOFError, ConnectionResetError):
            raise ParentEnded from None
        return message

    def _add(self, message: object) -> None:
        if not isinstance(message, RunTrial):
            raise EOFError(f"unexpected message: {message}")  # noqa: TRY004 (the parent cannot be understood)
        self._orders.append(message)


class _ParentListener:
    """Passes one trial's progress on to the parent, see `sweep.runner.running.Listener`."""

    def __init__(self, connection: Connection, inbox: _Inbox, identity: str) -> None:
        self._connection = connection
        self._inbox = inbox
        self._identity = identity

    def progress(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        _send(self._connection, Progress(self._identity, phase, done, total, loss))

    def report(self, step: int, loss: float) -> bool:
        _send(self._connection, LossReport(self._identity, step, loss))
        return self._inbox.decision().prune


def _run_trials(connection: Connection, runner: TrialRunner) -> None:
    from sweep.training.engine import PackBroke

    inbox = _Inbox(connection)
    while True:
        try:
            for order in inbox.orders(wait=runner.idle):
                runner.begin(order.spec, _ParentListener(connection, inbox, order.spec.identity))
            for ended in runner.advance():
                _send(connection, TrialEnd(ended.result, ended.worker_is_sound))
        except (EOFError, ConnectionResetError):
            return
        except GoldilocksError as error:
            _send(connection, Refusal.of(error))
            return
        except PackBroke as error:
            traceback.print_exception(error)
            _send(connection, PackFailure(str(error)))
            return
        except Exception as error:
            if not is_device_failure(error):
                raise
            traceback.print_exception(error)
            _send(connection, DeviceFailure(first_line(error)))
            return


def _refuse(connection: Connection, error: Exception) -> None:
    traceback.print_exception(error)
    _send(connection, Refusal("EnvironmentLacks", (_why_not_started(error),)))


def _why_not_started(error: Exception) -> str:
    """Explains why a worker could not load its setup; without enough memory not even its libraries can be imported."""
    text = f"{type(error).__name__}: {error}"
    if is_out_of_memory(error):
        return (
            f"memory ran out while the worker started ({text}); free some, raise a limit on it (`ulimit -v`), or choose a smaller "
            "model or quant=nf4"
        )
    if is_device_failure(error):
        return (
            f"the GPU failed while the worker started ({first_line(error)}); see what `nvidia-smi` and the system's log say about it, "
            "then run the command again, or hide the GPU with CUDA_VISIBLE_DEVICES"
        )
    return f"the worker cannot start: {text}; the study's file in mlruns/logs has more"


def set_threads(threads: int) -> None:
    """Limits the threads of every numerical library; call before torch is imported.

    Two processes that use all cores each would slow each other down.
    """
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ):
        os.environ[name] = str(threads)
    # by default oneDNN and its wrapper keep compiled code for 1,024 shapes; no two steps have the same number of tokens, so
    # that would be hundreds of megabytes that are never used again
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, _COMPILED_SHAPES)
    from sweep.training.machine import use_threads

    use_threads(threads)


def _write_output_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())


def _end_with_parent(parent: int) -> None:
    """Ends this process soon after its parent has ended, even if the parent was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
