"""The pool of workers: gives trials to child processes and turns every way of ending into a result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

from sweep.records import CapacityRequest, LoadReport, Status, TrialSpec, WorkerSetup
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.workers.death import Death, died_loading
from sweep.workers.messages import (
    Decision,
    DeviceFailure,
    LossReport,
    PackFailure,
    Progress,
    Refusal,
    TrialEnd,
    WorkerReady,
)
from sweep.workers.other_bases import OtherBases, base_of
from sweep.workers.worker import Launch, Launcher, Worker

_EARLY_DEATHS = 3
"""How many workers may die while they load before the trial that was meant for one counts as failed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a trial."""

    spec: TrialSpec
    message: Progress | LossReport | TrialEnd


class Pool:
    """A fixed number of workers, each replaced after a failure. A context manager: leaving it ends all workers.

    If a worker breaks while it trains several trials, none of them is blamed: they are trained again, half as many at a time. A
    single trial whose worker was killed by a signal is tried once more. If the device of a worker failed, its trials are trained
    again as they were; those that see that twice are trained half as many at a time, and a trial that sees it again alone has failed.

    A worker holds one base. An arm with a quantization of its own is given to a worker with that base, which an idle worker makes way
    for: so the memory of a process is that of one base, and no trial's peak holds another's.

    Args:
        capacity_request: asks the first worker how many trials it can train side by side; None: one.
        data_hash: hash of the data that the study was planned with; a worker that reads other data refuses to start.
        least: per split, the minimum number of examples that are short enough.
        launch: starts a child process; None starts `sweep.workers.child`.
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
        launch: Launch | None = None,
    ) -> None:
        self._log = paths.log(study)
        self._launch = launch or Launcher(setup, paths, self._log)
        self._capacity_request = capacity_request
        self._other_bases = OtherBases(capacity_request)
        self._requirements = Requirements(data_hash=data_hash, least=dict(least or {}))
        self._workers: list[Worker | None] = [None] * workers
        self._slots = 1
        self._waiting: deque[TrialSpec] = deque()
        self._early_deaths = 0
        self._retried: set[str] = set()
        self._device_failures: dict[str, int] = {}
        self._apart: int | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.end()
        self._workers = [None] * len(self._workers)

    @property
    def log(self) -> Path:
        """The file to which the workers' output is appended."""
        return self._log

    def use_timings(self, timings: Mapping[str, Mapping[int, float]]) -> None:
        """Gives the first worker what earlier ones measured, see `CapacityRequest.timings`; call before it is started."""
        if self._capacity_request is not None:
            self._capacity_request = replace(self._capacity_request, timings=timings)

    def start(self) -> None:
        """Starts the first worker, which loads its setup while the caller does other things."""
        self._worker(0)

    def start_all(self) -> None:
        """Starts the other workers as well, so that none begins to load only when it is given a trial."""
        for place in range(len(self._workers)):
            self._worker(place)

    def load(self, check: Callable[[], None], say: Callable[[str], None] = lambda text: None) -> LoadReport:
        """Waits until the first worker has loaded its setup. One that a signal kills meanwhile is started once more.

        Args:
            check: called about every half second; may raise to end the wait.
            say: called with each message for the user, one line.

        Raises:
            ConfigurationError, DataError, EnvironmentLacks: the setup cannot be loaded.
        """
        killed: Death | None = None
        worker = self._worker(0)
        while worker.loaded is None:
            check()
            for message in worker.receive(timeout=0.5):
                if isinstance(message, Refusal):
                    raise message.error()
            if worker.loaded is None and worker.is_dead():
                death = worker.death()
                if killed is not None or not death.killed:
                    raise died_loading(death, killed, self._log)
                say(f"the worker {death.text} while it loaded the base model; it is started once more")
                killed = death
                self._discard(worker)
                worker = self._worker(0)
        loaded = worker.loaded
        if self._capacity_request is not None and loaded.capacity is not None:
            self._slots = loaded.capacity.slots
            self._capacity_request = None  # what the first worker measured holds for all
            self._requirements = replace(self._requirements, checkpointing=loaded.capacity.checkpointing)
        self._requirements = replace(self._requirements, data_hash=loaded.data_hash, base_hash=loaded.base_hash)
        return loaded

    def has_free_slot(self) -> bool:
        """Whether a trial can be submitted."""
        return not self._waiting and min(self._loads()) < self._side_by_side

    def fewest_trials(self) -> int:
        """Number of trials of the worker that has the fewest; the next trial goes to that one."""
        return min(self._loads())

    def running(self) -> list[TrialSpec]:
        """The trials that have not ended."""
        given = [trial.spec for worker in self._workers if worker is not None for trial in worker.trials.values()]
        return [*given, *self._waiting]

    def submit(self, spec: TrialSpec) -> None:
        """Gives a trial to the worker with the fewest that has its base; starts one if there is none, or lets the trial wait for one."""
        if min(self._loads()) >= self._side_by_side:
            raise RuntimeError("every worker has all the trials it can take")
        self._waiting.append(spec)
        self._give_waiting()

    def _give_waiting(self) -> None:
        """Gives the trials that wait to workers, in their order, as far as there are free ones."""
        while self._waiting and (place := self._place_for(self._waiting[0])) is not None:
            spec = self._waiting.popleft()
            worker = self._workers[place]
            if worker is not None and worker.has_exited():  # while it was idle
                for message in worker.receive(timeout=0.0):
                    if isinstance(message, Refusal):
                        raise message.error()
                self._discard(worker)
            elif worker is not None and worker.quant != base_of(spec):
                self._discard(worker)
            self._worker(place, base_of(spec)).run(spec)

    def _place_for(self, spec: TrialSpec) -> int | None:
        """The place with the fewest trials whose worker has the trial's base or can make way for one that has; None if there is none."""
        wanted = base_of(spec)
        most = self._side_by_side if wanted is None else self._other_bases.most(wanted, self._side_by_side)
        places = [
            (load, worker is not None and worker.quant != wanted, place)
            for place, (worker, load) in enumerate(zip(self._workers, self._loads(), strict=True))
            if load == 0 or (worker is not None and worker.quant == wanted and load < most)
        ]
        return min(places)[-1] if places else None

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened to trials, waiting at most `timeout` seconds.

        Raises:
            ConfigurationError, DataError, EnvironmentLacks: a worker could not load its setup, or a trial names target modules
                that the model does not have.
        """
        busy = [worker for worker in self._workers if worker is not None and worker.trials]
        wait([worker.connection for worker in busy], timeout)
        for worker in busy:
            yield from self._received(worker)
            if worker.trials and worker.is_dead():
                yield from self._died(worker)
        self._give_waiting()

    def read_ahead(self) -> None:
        """Lets workers go on while `events` is not called; call it often meanwhile."""
        for worker in self._workers:
            if worker is not None:
                worker.read_ahead()

    def decide(self, spec: TrialSpec, *, prune: bool) -> None:
        """Answers a `LossReport`."""
        for worker in self._workers:
            if worker is not None and spec.identity in worker.trials:
                worker.send(Decision(spec.identity, prune))

    def _received(self, worker: Worker) -> Iterator[Event]:
        for message in list(worker.receive(timeout=0.0)):  # all at once: handling one may close the connection
            match message:
                case WorkerReady(loaded):
                    if worker.quant is not None and loaded.capacity is not None:
                        self._other_bases.add(worker.quant, loaded.capacity)
                case Refusal():
                    raise message.error()
                case PackFailure():
                    self._take_back(worker)
                    return
                case DeviceFailure():
                    yield from self._device_failed(worker, message.reason)
                    return
                case Progress() | LossReport():
                    yield Event(worker.trials[message.identity].spec, message)
                case TrialEnd():
                    yield self._ended(worker, message)

    def _ended(self, worker: Worker, message: TrialEnd) -> Event:
        spec = worker.trials.pop(message.result.spec.identity).spec
        self._device_failures.pop(spec.identity, None)
        if not self._device_failures:
            self._apart = None
        # a worker that still trains other trials is sound: what broke would have broken them too
        if not message.worker_is_sound and not worker.trials:
            self._discard(worker)
        return Event(spec, message)

    def _died(self, worker: Worker) -> Iterator[Event]:
        if worker.loaded is not None and (death := worker.death()).device_failed:
            yield from self._device_failed(worker, f"the worker {death.text}")
        elif len(worker.trials) > 1:
            self._take_back(worker)
        elif self._is_retried(worker):
            self._requeue(worker)
        else:
            yield self._ended(worker, TrialEnd(worker.result_of_death(), worker_is_sound=False))

    def _is_retried(self, worker: Worker) -> bool:
        """Whether the only trial of a dead worker is tried once more, since it may not be the cause."""
        if worker.loaded is None and self._early_deaths < _EARLY_DEATHS:
            self._early_deaths += 1  # the trial had not begun
            return True
        (identity,) = worker.trials
        death = worker.death()
        if identity in self._retried or not death.killed or death.out_of_memory:
            return False
        self._retried.add(identity)
        return True

    def _take_back(self, worker: Worker) -> None:
        """Requeues the trials of a worker that broke; from now on at most half as many are trained side by side."""
        self._slots = max(1, min(self._slots, len(worker.trials) // 2))
        self._requeue(worker)

    def _device_failed(self, worker: Worker, reason: str) -> Iterator[Event]:
        """Requeues the trials of a worker whose device failed; ends one that was alone, if it is not the first time.

        The number of failures is bounded: each is the first for its trials, or separates them further, or ends a trial.
        """
        for identity in worker.trials:
            self._device_failures[identity] = self._device_failures.get(identity, 0) + 1
        times = max(self._device_failures[identity] for identity in worker.trials)
        if times > 1 and len(worker.trials) == 1:
            words = (
                f"the device failed {times} times in this trial, the last time with no other trial beside it: {reason}"
            )
            yield self._ended(worker, TrialEnd(worker.result(Status.FAILED, words), worker_is_sound=False))
            return
        if times > 1:
            self._apart = max(1, min(self._side_by_side, len(worker.trials) // 2))
        self._requeue(worker)

    def _requeue(self, worker: Worker) -> None:
        self._waiting.extend(trial.spec for trial in worker.trials.values())
        worker.trials.clear()
        self._discard(worker)

    def _discard(self, worker: Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = None

    @property
    def _side_by_side(self) -> int:
        """Number of trials that a worker trains side by side: as fit, or fewer until it is known which one breaks the device."""
        return self._slots if self._apart is None else min(self._slots, self._apart)

    def _loads(self) -> list[int]:
        """Number of trials per worker."""
        return [0 if worker is None else len(worker.trials) for worker in self._workers]

    def _worker(self, place: int, base: str | None = None) -> Worker:
        """The worker in a place, started with this base if there is none."""
        worker = self._workers[place]
        if worker is None:
            request, requirements = self._capacity_request, self._requirements
            if base is not None:
                request = self._other_bases.request(base)
                requirements = self._other_bases.requirements(base, requirements)
            launched = self._launch(place, request, requirements)
            worker = self._workers[place] = Worker(*launched, self._log, base)
        return worker
