"""The parent's side: starts workers, gives them trials, and turns every way of ending into a result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sweep import errors
from sweep.errors import EnvironmentLacks, GoldilocksError
from sweep.records import CapacityRequest, Loaded, Status, StepLoss, TrialResult, TrialSpec, WorkerSetup
from sweep.store.paths import Paths
from sweep.workers import child
from sweep.workers.messages import Broke, Decision, Ended, FromWorker, Progress, Ready, Refused, Reported, Run

_LAST_WORDS_SECONDS = 5.0

_EARLY_DEATHS = 3
"""So many workers may end while they load, before a trial that was meant for one counts as failed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a worker's trial did."""

    spec: TrialSpec
    message: Progress | Reported | Ended


class Pool:
    """A fixed number of workers; each is replaced after a failure of whatever kind.

    Where several trials of one worker are in training when it breaks, none of them is to blame: they are trained anew, half
    as many at a time. A single trial whose worker was killed by a signal is tried once more. Use as a context manager: leaving it
    ends all workers at once.

    Args:
        packing: what is asked of the first worker: how many trials can it train side by side? None: one.
        data_hash: of the data that the study was planned with; a worker that reads other data is refused.
        least: for each split, how many examples must be short enough, see `sweep.workers.expected.Expected`.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        paths: Paths,
        workers: int,
        study: str,
        capacity_request: CapacityRequest | None = None,
        *,
        data_hash: str | None = None,
        least: Mapping[str, int] | None = None,
    ) -> None:
        self._setup = setup
        self._packing = capacity_request
        self._data_hash = data_hash
        self._base_hash: str | None = None
        self._least = dict(least or {})
        self._slots = 1
        self._waiting: deque[TrialSpec] = deque()
        self._early_deaths = 0
        self._tried_again: set[str] = set()
        self._paths = paths
        self._log = paths.log(study)
        self._workers: list[_Worker | None] = [None] * workers

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.end()
        self._workers = [None] * len(self._workers)

    @property
    def log(self) -> Path:
        """What the workers printed."""
        return self._log

    def start(self) -> None:
        """Starts the first worker; it loads its foundation while the caller does other things."""
        self._workers[0] = self._workers[0] or self._start()

    def start_all(self) -> None:
        """Starts the others as well, so that none begins to load only when it is given a trial."""
        self._workers = [worker or self._start() for worker in self._workers]

    def load(self, check: Callable[[], None]) -> Loaded:
        """Waits until the first worker's foundation is loaded.

        Args:
            check: called about every second; may raise to end the waiting.

        Raises:
            ConfigurationError, DataError, EnvironmentLacks: it cannot be loaded.
        """
        self.start()
        worker = self._workers[0]
        assert worker is not None
        while worker.loaded is None:
            check()
            for message in worker.receive(timeout=0.5):
                if isinstance(message, Refused):
                    raise _error(message)
            if worker.loaded is None and worker.is_dead():
                raise EnvironmentLacks(
                    f"the worker ended while it loaded the base model ({worker.cause()}); its words are in {self._log}"
                )
        if self._packing is not None and worker.loaded.capacity is not None:
            self._slots = worker.loaded.capacity.slots
            self._packing = None  # what the first has measured holds for all
        self._base_hash = worker.loaded.base_hash
        self._data_hash = worker.loaded.data_hash
        return worker.loaded

    def has_free_slot(self) -> bool:
        """Whether a trial can be submitted."""
        return not self._waiting and min(self._loads()) < self._slots

    def running(self) -> list[TrialSpec]:
        """The trials that have not ended."""
        in_work = [spec for worker in self._workers if worker is not None for spec in worker.specs.values()]
        return [*in_work, *self._waiting]

    def submit(self, spec: TrialSpec) -> None:
        """Gives a trial to the worker that has fewest; starts one where none is left."""
        loads = self._loads()
        place = loads.index(min(loads))
        if loads[place] >= self._slots:
            raise RuntimeError("every worker has all the trials it can take")
        worker = self._workers[place]
        if worker is not None and worker.has_ended():  # while it was idle
            for message in worker.receive(timeout=0.0):
                if isinstance(message, Refused):
                    raise _error(message)
            self._replace(worker)
        worker = self._workers[place] = self._workers[place] or self._start()
        worker.run(spec)

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened, waiting at most so many seconds for it.

        Raises:
            ConfigurationError, DataError, EnvironmentLacks: a worker could not load its foundation, or a trial asks for
                something that the model does not have.
        """
        busy = [worker for worker in self._workers if worker is not None and worker.specs]
        wait([worker.connection for worker in busy], timeout)
        for worker in busy:
            for message in list(worker.receive(timeout=0.0)):
                if isinstance(message, Refused):
                    raise _error(message)
                if isinstance(message, Broke):
                    self._take_back(worker)
                    break
                if isinstance(message, Progress | Reported | Ended):
                    yield from self._pass_on(worker, message)
            if worker.specs and worker.is_dead():  # one that broke has none any more
                if len(worker.specs) > 1:
                    self._take_back(worker)
                elif self._is_not_to_blame(worker):
                    self._waiting.extend(worker.specs.values())
                    worker.specs.clear()
                    self._replace(worker)
                else:
                    yield from self._pass_on(worker, Ended(worker.obituary(), worker_is_sound=False))
        while self._waiting and min(self._loads()) < self._slots:
            self.submit(self._waiting.popleft())

    def decide(self, spec: TrialSpec, *, prune: bool) -> None:
        """Answers a `Reported`."""
        for worker in self._workers:
            if worker is not None and spec.identity in worker.specs:
                worker.send(Decision(spec.identity, prune))

    def _pass_on(self, worker: _Worker, message: Progress | Reported | Ended) -> Iterator[Event]:
        if isinstance(message, Ended):
            spec = worker.specs.pop(message.result.spec.identity)
            # with neighbours still in training the worker is well: what broke would have broken them too
            if not message.worker_is_sound and not worker.specs:
                self._replace(worker)
        else:
            spec = worker.specs[message.identity]
        yield Event(spec, message)

    def _is_not_to_blame(self, worker: _Worker) -> bool:
        """Whether the only trial of a worker that died is tried once more: nothing says yet that the trial was the cause."""
        if worker.loaded is None and self._early_deaths < _EARLY_DEATHS:
            self._early_deaths += 1  # no trial had begun
            return True
        (identity,) = worker.specs
        if identity in self._tried_again or not worker.was_killed():
            return False
        self._tried_again.add(identity)
        return True

    def _take_back(self, worker: _Worker) -> None:
        """The trials of a worker that broke wait for another, and from now on packs are half as large as its was."""
        self._slots = max(1, min(self._slots, len(worker.specs) // 2))
        self._waiting.extend(worker.specs.values())
        worker.specs.clear()
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = None

    def _loads(self) -> list[int]:
        return [0 if worker is None else len(worker.specs) for worker in self._workers]

    def _start(self) -> _Worker:
        expected = (self._least, self._data_hash, self._base_hash)
        return _Worker(self._setup, self._paths, self._log, self._packing, expected)


class _Worker:
    """One child process and the trials it has, by identity."""

    def __init__(
        self,
        setup: WorkerSetup,
        paths: Paths,
        log: Path,
        capacity_request: CapacityRequest | None,
        expected: tuple[Mapping[str, int], str | None, str | None],
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self._kills_before = _kernel_kills()
        self._process: BaseProcess = context.Process(
            target=child.main,
            args=(theirs, setup, str(paths.root), str(log), os.getpid(), capacity_request, *expected),
            name="goldilocks-worker",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self.loaded: Loaded | None = None
        self.specs: dict[str, TrialSpec] = {}
        self._started: dict[str, float] = {}
        self._history: dict[str, list[StepLoss]] = {}
        self._hung_up = False

    def run(self, spec: TrialSpec) -> None:
        self.specs[spec.identity] = spec
        self._started[spec.identity] = time.time()
        self._history[spec.identity] = []
        self.send(Run(spec))

    def send(self, message: Any) -> None:
        # a worker that has gone may have said why: that is read before the end of its pipe
        with suppress(OSError):
            self.connection.send(message)

    def receive(self, timeout: float) -> Iterator[FromWorker]:
        """The messages that are there, waiting at most so many seconds for the first."""
        while not self._hung_up and self.connection.poll(timeout):
            timeout = 0.0
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                self._hung_up = True
                return
            if isinstance(message, Ready):
                self.loaded = message.loaded
            elif isinstance(message, Progress) and message.loss is not None:
                self._history[message.identity].append(StepLoss(message.done, message.loss, 0.0))
            yield message

    def has_ended(self) -> bool:
        """Whether the process is gone; messages of it may be left."""
        return not self._process.is_alive()

    def is_dead(self) -> bool:
        """Whether the process is gone and all its messages were read."""
        if not self._hung_up:
            return False
        self._process.join(_LAST_WORDS_SECONDS)
        return not self._process.is_alive()

    def cause(self) -> str:
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"killed by signal {-code} ({signal.Signals(-code).name})"
        return f"exit code {code}"

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed the process for want of memory."""
        return self._process.exitcode == -signal.SIGKILL and _kernel_kills() > self._kills_before

    def was_killed(self) -> bool:
        """Whether a signal has ended the process, for another reason than memory."""
        code = self._process.exitcode
        return code is not None and code < 0 and not self.ran_out_of_memory()

    def obituary(self) -> TrialResult:
        """The result of the only trial of a worker that died: infeasible if the kernel killed it for memory, else failed."""
        (spec,) = self.specs.values()
        out_of_memory = self.ran_out_of_memory()
        return TrialResult(
            spec=spec,
            status=Status.INFEASIBLE if out_of_memory else Status.FAILED,
            reason="out of memory: the system killed the worker" if out_of_memory else f"the worker was {self.cause()}",
            history=tuple(self._history[spec.identity]),
            started=self._started[spec.identity],
            seconds=time.time() - self._started[spec.identity],
        )

    def end(self) -> None:
        """Ends the process: an idle one is let go, one at work is told to stop, one that does not listen is killed."""
        self.connection.close()
        if self.specs and self._process.is_alive():
            self._process.terminate()
        self._process.join(_LAST_WORDS_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _error(refused: Refused) -> GoldilocksError:
    kind = getattr(errors, refused.kind, GoldilocksError)
    if issubclass(kind, errors.Problems):
        return kind(refused.problems)
    return GoldilocksError("; ".join(refused.problems))


def _kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
