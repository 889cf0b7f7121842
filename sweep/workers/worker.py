"""One worker as its parent sees it: a child process, and the trials it was given."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from sweep.config.devices import devices_for
from sweep.records import CapacityRequest, LoadReport, Status, StepLoss, TrialResult, TrialSpec, WorkerSetup
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.workers import child
from sweep.workers.death import Death, death_of, log_size, oom_kills
from sweep.workers.messages import Decision, FromWorker, Progress, RunTrial, WorkerReady

END_SECONDS = 5.0
"""How long a worker that was asked to end may take before it is killed."""


class ChildProcess(Protocol):
    """The part of `multiprocessing.Process` that a worker uses."""

    @property
    def exitcode(self) -> int | None:
        """The exit code, minus the signal's number if a signal killed the process; None while it runs."""

    def is_alive(self) -> bool: ...

    def join(self, timeout: float | None = None) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


Launch = Callable[[int, CapacityRequest | None, Requirements], tuple[Connection, ChildProcess]]
"""Starts the child process of a worker's place, counted from 0; returns the parent's end of the connection, and the process."""

_environment_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts child processes that run `sweep.workers.child.main`, see `Launch`. Each sees one device.

    Attributes:
        log: the file to which they append what they print.
    """

    setup: WorkerSetup
    paths: Paths
    log: Path

    def __call__(
        self, place: int, capacity_request: CapacityRequest | None, requirements: Requirements
    ) -> tuple[Connection, ChildProcess]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=child.main,
            args=(
                theirs,
                self.setup,
                str(self.paths.root),
                str(self.log),
                os.getpid(),
                capacity_request,
                requirements,
            ),
            name="goldilocks-worker",
            daemon=True,
        )
        # the child imports the main module before it calls `main`, and that may already ask for a GPU
        with _environment(devices_for(self.setup.device).environment(place)):
            process.start()
        theirs.close()
        return ours, process


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, child processes begin with these variables."""
    with _environment_lock:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@dataclass(frozen=True, slots=True)
class GivenTrial:
    """A trial that a worker was given and has not ended."""

    spec: TrialSpec
    started: float = field(default_factory=time.time)
    history: list[StepLoss] = field(default_factory=list)


class Worker:
    """A child process and its trials.

    Args:
        log: the file to which the process appends what it prints.
        quant: the quantization of its base, for arms that have one of their own; None for the study's.

    Attributes:
        loaded: what the worker reported about its setup; None until it is loaded.
        trials: the trials that it was given and has not ended, by identity.
    """

    def __init__(self, connection: Connection, process: ChildProcess, log: Path, quant: str | None = None) -> None:
        self.connection = connection
        self.quant = quant
        self._process = process
        self._log = log
        self._log_size_before = log_size(log)
        self._oom_kills_before = oom_kills()
        self.loaded: LoadReport | None = None
        self.trials: dict[str, GivenTrial] = {}
        self._hung_up = False
        self._early: deque[FromWorker] = deque()

    def run(self, spec: TrialSpec) -> None:
        """Gives the worker a trial."""
        self.trials[spec.identity] = GivenTrial(spec)
        self._oom_kills_before = oom_kills()  # an earlier kill was of another process
        self.send(RunTrial(spec))

    def send(self, message: RunTrial | Decision) -> None:
        """Sends a message; lost if the worker is dead, whose last messages may still be there to read."""
        with suppress(OSError):
            self.connection.send(message)

    def receive(self, timeout: float) -> Iterator[FromWorker]:
        """The messages that have arrived, waiting at most `timeout` seconds for the first."""
        while self._early:
            timeout = 0.0
            yield self._early.popleft()
        yield from self._arrived(timeout)

    def read_ahead(self) -> None:
        """Takes in what has arrived, for `receive` to return later: a worker whose messages nobody reads is held up by them."""
        self._early.extend(self._arrived(0.0))

    def _arrived(self, timeout: float) -> Iterator[FromWorker]:
        while not self._hung_up and self.connection.poll(timeout):
            timeout = 0.0
            try:
                message: FromWorker = self.connection.recv()
            except (EOFError, OSError):
                self._hung_up = True
                return
            if isinstance(message, WorkerReady):
                self.loaded = message.loaded
            elif isinstance(message, Progress) and message.loss is not None:
                self.trials[message.identity].history.append(StepLoss(message.done, message.loss, 0.0))
            yield message

    def has_exited(self) -> bool:
        """Whether the process has ended; messages may be left to read."""
        return not self._process.is_alive()

    def is_dead(self) -> bool:
        """Whether the process has ended and all its messages were read."""
        if not self._hung_up:
            return False
        self._process.join(END_SECONDS)
        return not self._process.is_alive()

    def death(self) -> Death:
        """How the process ended."""
        return death_of(self._process.exitcode, oom_kills() - self._oom_kills_before, self._log, self._log_size_before)

    def result_of_death(self) -> TrialResult:
        """The result of the only trial of a dead worker: infeasible if the worker ended for lack of memory, else failed."""
        death = self.death()
        if death.out_of_memory:
            return self.result(Status.INFEASIBLE, f"out of memory: the worker {death.text}")
        return self.result(Status.FAILED, f"the worker {death.text}")

    def result(self, status: Status, reason: str) -> TrialResult:
        """The result of the worker's only trial, which the worker itself did not report."""
        (trial,) = self.trials.values()
        return TrialResult(
            spec=trial.spec,
            status=status,
            reason=reason,
            history=tuple(trial.history),
            started=trial.started,
            seconds=time.time() - trial.started,
        )

    def end(self) -> None:
        """Ends the process: an idle one ends by itself, a busy one is terminated; one that does neither is killed."""
        self.connection.close()
        if self.trials and self._process.is_alive():
            self._process.terminate()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
