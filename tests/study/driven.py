"""A small study without training: the real orchestrator, a worker in a thread that answers at once, and a kill at any write.

    python -m tests.study.driven FOLDER [WRITE]

runs it in its own process, which is killed at that write to Optuna's database.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import event
from sqlalchemy.engine import Connection as DatabaseConnection
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from benchmarks import stand_in
from sweep.commands.app import composed_plan
from sweep.records import StudyPlan, StudyRecord, TrialRecord, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.study.display import Silent
from sweep.study.run import run_study
from sweep.study.stopping import StopRequest
from sweep.verdict.conclude import conclude
from sweep.workers import child, pool, worker
from sweep.workers.child import ParentEnded
from tasks import Splits

OVERRIDES = (
    "study.name=driven",
    "model=tiny",
    "tracking.uri=memory://",
    "train.steps=3",
    "search.trials=5",
    "sampler=random",
    "certify.ladder=[2,8]",
    "certify.seeds=2",
    "certify.first_look=2",
    "certify.rate_trials=2",
    "executor.workers=1",
    "executor.threads=1",
    "engine.slots=1",
)


class Killed(BaseException):
    """Raised in place of the end of the process."""


class Trained(Silent):
    """Counts the trials that a worker was given, by identity."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}


@cache
def planned(*overrides: str) -> StudyPlan:
    return composed_plan([*OVERRIDES, *overrides])


def run(
    paths: Paths, plan: StudyPlan, trained: Trained | None = None, at_the_end: Callable[[], object] = lambda: None
) -> StudyRecord:
    """Runs or continues the study; returns its record.

    Args:
        at_the_end: called when nothing is left to be trained, before the study is closed.
    """
    given = trained if trained is not None else Trained()
    submit = pool.Pool.submit

    def counted(self: pool.Pool, spec: TrialSpec) -> None:
        given.times[spec.identity] = given.times.get(spec.identity, 0) + 1
        submit(self, spec)

    def report(record: StudyRecord) -> tuple[Path, ...]:
        at_the_end()
        return ()

    splits = Splits((), (), (), (), (), "d" * 64, "t" * 64)
    with (
        patch.object(child, "main", stand_in.main),
        patch.object(worker.multiprocessing, "get_context", lambda _: Threads),
        patch.object(pool.Pool, "submit", counted),
    ):
        return run_study(plan, splits, paths, given, StopRequest(), report).record


@contextmanager
def killed_at(write: int, kill: Callable[[], None]) -> Iterator[list[int]]:
    """Calls `kill` instead of write number `write` (from 0) to a database and of all later ones; counts the writes before.

    A write is a transaction that changes something. After the first kill nothing reaches the database, and open transactions are
    rolled back, as at the end of the process.
    """
    done = [0]
    dead = False
    opened: list[tuple[sqlite3.Connection, ConnectionPoolEntry]] = []

    def die() -> None:
        nonlocal dead
        dead = True
        for connection, _ in opened:
            connection.rollback()
        kill()

    def connects(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        opened.append((connection, entry))

    def changes(connection: DatabaseConnection, _cursor: Any, statement: str, *_: Any) -> None:
        if dead:
            kill()
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            connection.info["changed"] = True

    def commits(connection: DatabaseConnection) -> None:
        if connection.info.pop("changed", False):
            if done[0] >= write:
                die()
            done[0] += 1

    listeners = {"connect": connects, "before_cursor_execute": changes, "commit": commits}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield done
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
        for connection, entry in opened:
            entry.invalidate()  # a pool that outlives the killed run opens another
            connection.close()


def essence(record: StudyRecord) -> Mapping[str, Any]:
    """What kills must not change: everything except times and the number of interrupted trials."""
    certification = record.certification
    conclusion = conclude(record)
    assert certification is not None
    assert conclusion is not None
    return {
        "base": _trial(record.base),
        "trials": [(trial.number, _trial(trial)) for trial in record.trials],
        "planned": record.planned,
        "declared": certification.declared,
        "recipe": certification.recipe,
        "rates": certification.rates,
        "tuning": [_trial(trial) for trial in certification.tuning],
        "ladder": [(_trial(trial), trial.nats, trial.scores) for trial in certification.trials],
        "tokens": certification.tokens,
        "looks": certification.looks,
        "examples": (certification.examples, certification.extended),
        "stopped": certification.stopped,
        "confirmed": [(_trial(trial), trial.nats) for trial in certification.confirmed],
        "final": [_trial(trial) for trial in certification.final],
        "verdict": conclusion.verdict,
    }


def _trial(record: TrialRecord | None) -> tuple[object, ...]:
    assert record is not None
    result: TrialResult = record.result
    loss = result.measures.loss if result.measures else None
    return result.spec.identity, result.spec.arm, result.spec.seed, result.status, loss


class WorkerThread(threading.Thread):
    """A thread with the interface of a worker's process."""

    exitcode = 0

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], name: str, daemon: bool) -> None:
        # the pool closes its copy of the worker's end, as with a process
        theirs = Connection(os.dup(args[0].fileno()))
        super().__init__(target=_serve, args=(target, theirs, args[1:]), name=name, daemon=daemon)

    def terminate(self) -> None:
        """Does nothing; the thread ends when the parent closes the connection."""

    kill = close = terminate


def _serve(target: Callable[..., None], theirs: Connection, rest: tuple[Any, ...]) -> None:
    with theirs, suppress(OSError, EOFError, ParentEnded):  # the parent may close the connection during a trial
        target(theirs, *rest)


class Threads:
    """A context of `multiprocessing` that starts threads."""

    Pipe = staticmethod(Pipe)
    Process = WorkerThread


if __name__ == "__main__":
    with killed_at(int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize, lambda: os._exit(9)):
        run(Paths(Path(sys.argv[1])), planned())
