"""A worker that follows a script: how it loads is its own script, what it does with a trial is the name of the trial's study.

It speaks to its parent as `sweep.workers.child` does, in a thread of the same process or in a real child process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NoReturn

from sweep.errors import DataError
from sweep.records import CapacityRequest, LoadReport, SlotCapacity, Status, TrialResult, TrialSpec
from sweep.runner.requirements import Requirements
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
from sweep.workers.worker import ChildProcess

STEPS = 3
EXIT_CODE = 3
DEVICE_ERROR = "AcceleratorError: CUDA error: device-side assert triggered"


class Death(Exception):
    """Ends a scripted worker that runs in a thread, with an exit code."""


def loaded(slots: int | None) -> LoadReport:
    return LoadReport(
        source="made",
        base_hash="b" * 64,
        base_bytes=1,
        resident_bytes=1,
        linear_modules=("model.layers.0.q_proj",),
        context=64,
        parameters=1,
        load_seconds=0.0,
        device="none",
        data_hash="d" * 64,
        too_long={},
        examples={},
        capacity=None if slots is None else SlotCapacity(slots, slots, checkpointing=True),
    )


def serve(connection: Connection, script: str, slots: int | None, die: Callable[[int], NoReturn]) -> None:
    """Loads as the script says, then runs trials until the parent closes the connection.

    Scripts: `loads`; `survives`, which completes every trial at once; `spares`, likewise but for trials that break its device;
    `refuses`, `dies loading`, `is killed loading`, `never loads`, `dies idle`.

    Args:
        slots: the capacity that is reported, None if it is not asked for.
        die: ends the process with an exit code; a negative one is minus the number of a signal.
    """
    match script:
        case "refuses":
            connection.send(Refusal.of(DataError(["train.jsonl: line 1 is empty", "test.jsonl is missing"])))
            return
        case "dies loading":
            die(EXIT_CODE)
        case "is killed loading":
            die(-signal.SIGKILL)
        case "never loads":
            connection.recv()
            return
    connection.send(WorkerReady(loaded(slots)))
    if script == "dies idle":
        die(EXIT_CODE)
    held: list[TrialSpec] = []
    while True:
        message = connection.recv()
        if not isinstance(message, RunTrial):
            return
        held.append(message.spec)
        if script == "survives" or (script == "spares" and message.spec.study != "breaks its device"):
            connection.send(TrialEnd(TrialResult(held.pop(), Status.COMPLETE)))
        elif not _run(connection, held, die):
            return


def _run(connection: Connection, held: list[TrialSpec], die: Callable[[int], NoReturn]) -> bool:
    """Does what the last trial's study says; returns whether the worker goes on."""
    spec = held[-1]
    for step in range(1, STEPS + 1):
        connection.send(Progress(spec.identity, "train", step, STEPS, 1.0 / step))
    match spec.study:
        case "completes":
            connection.send(TrialEnd(TrialResult(held.pop(), Status.COMPLETE)))
        case "fails":
            connection.send(TrialEnd(TrialResult(held.pop(), Status.FAILED, "broken"), worker_is_sound=False))
        case "reports":
            connection.send(LossReport(spec.identity, STEPS, 0.5))
            decision = connection.recv()
            status = Status.PRUNED if isinstance(decision, Decision) and decision.prune else Status.COMPLETE
            connection.send(TrialEnd(TrialResult(held.pop(), status)))
        case "refuses":
            connection.send(Refusal.of(DataError("no such module")))
            return False
        case "breaks two" if len(held) > 1:
            connection.send(PackFailure("out of memory"))
            return False
        case "breaks its device":
            connection.send(DeviceFailure(DEVICE_ERROR))
            return False
        case "kills two" if len(held) > 1:
            die(-signal.SIGKILL)
        case "exits":
            die(EXIT_CODE)
        case "exits as bitsandbytes does":
            die(1)
        case "is killed":
            die(-signal.SIGKILL)
        case "is deaf":
            signal_is_ignored()
    return True


def signal_is_ignored() -> None:
    """Neither the end of the connection nor SIGTERM ends the worker from here on."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    else:
        current = threading.current_thread()
        assert isinstance(current, _Thread)
        current.killed.wait(60)
        raise Death(-signal.SIGKILL)


@dataclass
class Launched:
    """A child process that was started, and with what."""

    process: ChildProcess
    place: int
    capacity_request: CapacityRequest | None
    requirements: Requirements


@dataclass
class ScriptedLauncher:
    """Starts scripted workers, see `sweep.workers.worker.Launch`.

    Attributes:
        kind: `thread` or `process`.
        scripts: how each worker loads, in the order of their start; the last one goes for all further workers.
    """

    kind: str
    scripts: tuple[str, ...] = ("loads",)
    started: list[Launched] = field(default_factory=list)

    def __call__(
        self, place: int, capacity_request: CapacityRequest | None, requirements: Requirements
    ) -> tuple[Connection, ChildProcess]:
        script = self.scripts[min(len(self.started), len(self.scripts) - 1)]
        slots = capacity_request.slots if capacity_request is not None else None
        ours, process = _START[self.kind](script, slots)
        self.started.append(Launched(process, place, capacity_request, requirements))
        return ours, process


def _start_process(script: str, slots: int | None) -> tuple[Connection, ChildProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs, script, slots), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _main(connection: Connection, script: str, slots: int | None) -> None:
    def die(code: int) -> NoReturn:
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code)

    try:
        serve(connection, script, slots, die)
    except EOFError:
        return


def _start_thread(script: str, slots: int | None) -> tuple[Connection, ChildProcess]:
    ours, theirs = multiprocessing.Pipe()
    thread = _Thread(theirs, script, slots)
    thread.start()
    return ours, thread


_START = {"process": _start_process, "thread": _start_thread}


class _Thread(threading.Thread):
    """A thread with what the pool uses of a process."""

    def __init__(self, connection: Connection, script: str, slots: int | None) -> None:
        super().__init__(daemon=True)
        self.exitcode: int | None = None
        self.killed = threading.Event()
        self._rest = connection, script, slots

    def run(self) -> None:
        def die(code: int) -> NoReturn:
            raise Death(code)

        connection, script, slots = self._rest
        code = 0
        try:
            serve(connection, script, slots, die)
        except Death as death:
            code = death.args[0]
        except (EOFError, OSError):
            pass
        self.exitcode = code
        connection.close()

    def terminate(self) -> None:
        """Nothing: a thread that listens ends when the connection does."""

    def kill(self) -> None:
        self.killed.set()

    def close(self) -> None:
        """Nothing to free."""
