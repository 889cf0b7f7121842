"""What runs in a worker's process: loads a foundation, then does as its parent says, and never outlives it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from sweep.errors import GoldilocksError, Problems
from sweep.paths import Paths
from sweep.records import Foundation
from sweep.workers.messages import Decision, Ended, Progress, Ready, Refused, Reported, Run


def main(connection: Connection, foundation: Foundation, root: str, log: str, parent: int) -> None:
    """Serves trials until the parent hangs up.

    Args:
        root: the folder `mlruns`.
        log: the file that takes everything printed here.
        parent: the process id of the parent.
    """
    _write_to(Path(log))
    _follow(parent)
    # Ctrl-C reaches every process of the terminal; the parent alone decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _set_threads(foundation.threads)
    from sweep.training.quiet import quiet_libraries, quiet_progress

    quiet_libraries()
    try:
        from sweep.workers.job import Job

        quiet_progress()
        job = Job(foundation, Paths(Path(root)))
    except GoldilocksError as error:
        connection.send(_refusal(error))
        return
    except (ImportError, OSError) as error:
        traceback.print_exc()
        connection.send(Refused("EnvironmentLacks", (f"the worker cannot start: {type(error).__name__}: {error}",)))
        return
    connection.send(Ready(job.loaded))
    _serve(connection, job)


def _serve(connection: Connection, job: object) -> None:
    from sweep.workers.job import Job, Listener

    assert isinstance(job, Job)

    def report(step: int, loss: float) -> bool:
        connection.send(Reported(step, loss))
        answer = connection.recv()
        return isinstance(answer, Decision) and answer.prune

    def progress(message: Progress) -> None:
        connection.send(message)

    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        if not isinstance(order, Run):
            return
        try:
            connection.send(Ended(job.run(order.spec, Listener(progress, report))))
        except GoldilocksError as error:
            connection.send(_refusal(error))


def _refusal(error: GoldilocksError) -> Refused:
    problems = error.problems if isinstance(error, Problems) else (str(error),)
    return Refused(type(error).__name__, problems)


def _set_threads(threads: int) -> None:
    """Before torch is imported: two processes with all threads each spin against one another."""
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ):
        os.environ[name] = str(threads)
    from sweep.training.device import use_threads

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
