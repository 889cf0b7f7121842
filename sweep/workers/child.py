"""What runs in a worker's process: loads a foundation, then does as its parent says, and never outlives it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.console.masking import mask_output
from sweep.errors import GoldilocksError, Problems
from sweep.records import CapacityRequest, WorkerSetup
from sweep.store.paths import Paths
from sweep.workers.messages import Broke, Decision, Ended, Ready, Refused, Reported, Run

if TYPE_CHECKING:
    from sweep.workers.job import Job


_COMPILED_SHAPES = "32"
"""About as many as one step has products of different shapes."""


def main(
    connection: Connection,
    setup: WorkerSetup,
    root: str,
    log: str,
    parent: int,
    capacity_request: CapacityRequest | None,
    least: Mapping[str, int],
    data_hash: str | None,
    base_hash: str | None,
) -> None:
    """Serves trials until the parent hangs up.

    Args:
        root: the folder `mlruns`.
        log: the file that takes everything printed here.
        parent: the process id of the parent.
        packing: see `Job`.
        least, data_hash, base_hash: see `sweep.workers.expected.Expected`.
    """
    _write_to(Path(log))
    mask_output()
    _follow(parent)
    # Ctrl-C and the end of the terminal reach every process of it; the parent alone decides what they mean
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    set_threads(setup.threads)
    from sweep.training.machine import quiet_libraries, quiet_progress

    quiet_libraries()
    try:
        from sweep.workers.expected import Expected
        from sweep.workers.job import Job

        quiet_progress()
        gc.freeze()  # libraries stay; to look through them would take every collection a quarter of a second
        job = Job(setup, Paths(Path(root)), capacity_request, Expected(data_hash, base_hash, least))
    except GoldilocksError as error:
        connection.send(_refusal(error))
        return
    except Exception as error:
        traceback.print_exc()
        connection.send(Refused("EnvironmentLacks", (_why_not_started(error),)))
        return
    connection.send(Ready(job.loaded))
    _serve(connection, job)


class _Inbox:
    """What the parent has said, in order; a decision may arrive after trials that were sent later."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._orders: deque[Run] = deque()

    def orders(self, *, wait: bool) -> Iterator[Run]:
        """The trials to take on; with `wait` at least one.

        Raises:
            EOFError: the parent has hung up.
        """
        while self._connection.poll() or (wait and not self._orders):
            self._take(self._connection.recv())
        while self._orders:
            yield self._orders.popleft()

    def decision(self) -> bool:
        """Waits for the answer to the only question that is open."""
        while True:
            message = self._connection.recv()
            if isinstance(message, Decision):
                return message.prune
            self._take(message)

    def _take(self, message: object) -> None:
        if not isinstance(message, Run):
            raise EOFError  # noqa: TRY004 (whatever it is, it is the last word)
        self._orders.append(message)


def _serve(connection: Connection, job: Job) -> None:
    from sweep.training.engine import PackBroke
    from sweep.workers.course import Listener

    inbox = _Inbox(connection)

    def listener(identity: str) -> Listener:
        def report(step: int, loss: float) -> bool:
            connection.send(Reported(identity, step, loss))
            return inbox.decision()

        return Listener(connection.send, report)

    while True:
        try:
            for order in inbox.orders(wait=job.idle):
                job.begin(order.spec, listener(order.spec.identity))
            for ended in job.advance():
                connection.send(Ended(ended.result, ended.worker_is_sound))
        except EOFError:
            return
        except GoldilocksError as error:
            connection.send(_refusal(error))
            return
        except PackBroke as error:
            traceback.print_exception(error)
            connection.send(Broke(str(error)))
            return


_NO_MEMORY = ("failed to map segment", "allocate memory", "out of memory", "not enough memory")


def _why_not_started(error: Exception) -> str:
    """Why a worker could not load its foundation, in words; libraries that do not fit into memory cannot even be imported."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or any(words in said.lower() for words in _NO_MEMORY):
        return (
            f"memory ran out while the worker started ({said}); free some, raise a limit on it (`ulimit -v`), or choose a smaller "
            "model or quant=nf4"
        )
    return f"the worker cannot start: {said}; the study's file in mlruns/logs has more"


def _refusal(error: GoldilocksError) -> Refused:
    problems = error.problems if isinstance(error, Problems) else (str(error),)
    return Refused(type(error).__name__, problems)


def set_threads(threads: int) -> None:
    """Before torch is imported: two processes with all threads each spin against one another."""
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ):
        os.environ[name] = str(threads)
    # oneDNN and its wrapper keep what they compiled for each of 1,024 shapes; no two steps have the same number of tokens,
    # so that is hundreds of megabytes which are never used again
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, _COMPILED_SHAPES)
    from sweep.training.machine import use_threads

    use_threads(threads)


def _write_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())


def _follow(parent: int) -> None:
    """Ends this process soon after its parent is gone, even if the parent was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
