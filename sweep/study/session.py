"""Runs trials on workers and records each as it ends: the loop that a whole study and a single trial share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from sweep.records import Status, TrialRecord, TrialResult, TrialSpec
from sweep.store.trials import TrialStore
from sweep.study.display import Display
from sweep.study.stopping import StopRequest
from sweep.tracking import Tracker
from sweep.workers.messages import LossReport, Progress, TrialEnd
from sweep.workers.pool import Pool

_TICK_SECONDS = 0.25


class StudyPaused(Exception):
    """This run cannot go on with the study, but a later one can. The message says why and what is left."""


ShouldPrune = Callable[[int, int, float], bool]
"""Given a trial's number, step and loss, returns whether to stop the trial."""


Tell = Callable[[TrialRecord], None]
"""Stores how a trial ended, so that no later run trains it again."""


def tell_nobody(trial: TrialRecord) -> None:
    """Leaves it to the store of trials alone."""


def never_prune(number: int, step: int, loss: float) -> bool:
    """Lets every trial run to its end."""
    return False


@dataclass(frozen=True)
class OpenTrial:
    """A trial that has begun.

    Attributes:
        number: the number shown to people: from 1, 0 for the base.
    """

    number: int
    spec: TrialSpec
    run_id: str
    started: float


@dataclass
class Session:
    """The workers, tracker and display of one run. Leaving the block records open trials as interrupted.

    Attributes:
        parent: the MLflow run of the sweep.
        heartbeat: called several times a second, to show other machines that the trials are alive.
    """

    pool: Pool
    tracker: Tracker
    parent: str
    store: TrialStore
    display: Display
    stop: StopRequest
    heartbeat: Callable[[], None] = lambda: None
    _open: dict[str, OpenTrial] = field(default_factory=dict)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        for trial in list(self._open.values()):
            seconds = time.time() - trial.started
            result = TrialResult(
                trial.spec, Status.INTERRUPTED, "the sweep ended", started=trial.started, seconds=seconds
            )
            self._close(trial, result)

    def run(
        self,
        specs: Iterable[TrialSpec | None],
        *,
        tell: Tell = tell_nobody,
        first: int = 1,
        should_prune: ShouldPrune = never_prune,
        retrain: bool = False,
    ) -> Iterator[TrialRecord]:
        """Runs trials side by side; yields each as it ends, with the number shown to people.

        Takes a spec only when a worker is free for it, so `specs` may depend on the trials yielded before. Finished trials
        are taken from the store.

        Args:
            specs: None among them means that the next one has to wait for a trial that is running; if none is, the run ends.
            tell: called with each trial that has ended, before its MLflow run ends. So a run that a killed sweep left running ends
                with its result if the study knows it, else as interrupted, and no trial has a finished run twice.
            first: number of the first trial; later trials count up, the unadapted base is 0.
            retrain: whether to run trials even if the store has them.

        Raises:
            StudyPaused: `specs` raised it; the trials that had begun have ended.
            Interrupted: the sweep was asked to stop.
            ConfigurationError, DataError, EnvironmentLacks: a worker cannot load the base or the data.
        """
        waiting, exhausted = iter(specs), False
        pause: StudyPaused | None = None
        number = first
        while True:
            while not exhausted and self.pool.has_free_slot():
                self.stop.check()
                try:
                    spec = next(waiting)
                except StopIteration:
                    exhausted = True
                    continue
                except StudyPaused as raised:
                    pause, exhausted = raised, True
                    continue
                if spec is None:
                    exhausted = not self._open
                    break
                if spec.arm is None:
                    yield from self._begin(0, spec, should_prune, tell, retrain=retrain)
                else:
                    yield from self._begin(number, spec, should_prune, tell, retrain=retrain)
                    number += 1
            if exhausted and not self._open:
                break
            yield from self._wait(should_prune, tell)
        if pause is not None:
            raise pause

    def _begin(
        self, number: int, spec: TrialSpec, should_prune: ShouldPrune, tell: Tell, *, retrain: bool
    ) -> Iterator[TrialRecord]:
        """Gives a trial to a worker, or takes its result from the store; yields trials that end meanwhile."""
        while spec.identity in self._open:  # the same arm drawn twice: the second trial takes the first one's result
            yield from self._wait(should_prune, tell)
        started = time.time()
        known = None if retrain else self.store.find(spec.identity)
        if known is None:
            while not self.pool.has_free_slot():  # a worker broke meanwhile, and fewer trials fit side by side
                yield from self._wait(should_prune, tell)
            if spec.arm is not None:
                self.store.adapters.find(spec.adapter_id)  # sets a damaged one aside, with a note on the display
            self.pool.submit(spec)  # before the tracker, so that the worker does not wait for it
        trial = OpenTrial(number, spec, self.tracker.open_trial(self.parent, spec), started)
        self._open[spec.identity] = trial
        self.display.began(number, spec)
        if known is not None:
            yield self._end(trial, known, tell)

    def _wait(self, should_prune: ShouldPrune, tell: Tell) -> Iterator[TrialRecord]:
        """Waits a moment for messages of workers and handles them; yields the trials that ended."""
        self.stop.check()
        self.heartbeat()
        self.tracker.poll()
        for event in self.pool.events(_TICK_SECONDS):
            trial = self._open[event.spec.identity]
            match event.message:
                case Progress():
                    self.display.progressed(trial.spec, event.message)
                case LossReport(_, step, loss):
                    self.pool.decide(event.spec, prune=should_prune(trial.number, step, loss))
                case TrialEnd(result):
                    # a worker that dies after committing a trial to the store has finished it
                    yield self._end(trial, self.store.find(trial.spec.identity) or result, tell)

    def _end(self, trial: OpenTrial, result: TrialResult, tell: Tell) -> TrialRecord:
        # a stored result may be of another stage or study, which the identity leaves out
        result = replace(result, spec=trial.spec)
        record = TrialRecord(trial.number, result, self.tracker.known_id(trial.run_id))
        tell(record)
        self._close(trial, result)
        return record

    def _close(self, trial: OpenTrial, result: TrialResult) -> None:
        self.tracker.close_trial(trial.run_id, result, self.store.artifacts(result))
        del self._open[trial.spec.identity]
        self.display.ended(trial.number, result)
