"""Trials through workers, recorded as they come: the loop that the whole study and a single trial share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.records import Status, TrialRecord, TrialResult, TrialSpec
from sweep.store.trials import TrialStore
from sweep.study.display import Display
from sweep.study.stopping import StopRequest
from sweep.tracking import Tracker
from sweep.workers.messages import Ended, Progress, Reported
from sweep.workers.pool import Pool

_TICK_SECONDS = 0.25


@dataclass(frozen=True)
class OpenTrial:
    """A trial that has begun.

    Attributes:
        number: for people: from 1, 0 for the base.
        report: told a value for the pruner; answers whether to stop.
        done: told the trial's record, once.
    """

    number: int
    spec: TrialSpec
    run_id: str
    started: float
    report: Callable[[int, float], bool]
    done: Callable[[TrialRecord], None]


@dataclass
class Session:
    """One invocation's workers, tracker and display; leaving the block ends what is still open as interrupted.

    Attributes:
        beat: called every moment, to show others that the trials are alive.
    """

    pool: Pool
    tracker: Tracker
    parent: str
    store: TrialStore
    display: Display
    stop: StopRequest
    beat: Callable[[], None] = lambda: None
    _open: dict[str, OpenTrial] = field(default_factory=dict)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        for trial in list(self._open.values()):
            seconds = time.time() - trial.started
            result = TrialResult(
                trial.spec, Status.INTERRUPTED, "the sweep ended", started=trial.started, seconds=seconds
            )
            self._finish(trial, result)

    @property
    def running(self) -> int:
        """Trials that have begun and not ended."""
        return len(self._open)

    def begin(
        self,
        number: int,
        spec: TrialSpec,
        report: Callable[[int, float], bool],
        done: Callable[[TrialRecord], None],
        *,
        again: bool = False,
    ) -> None:
        """Gives a trial to a worker; one that was finished before is taken from the store instead, unless it is to run `again`.

        Raises:
            Interrupted: the sweep was asked to stop. The trial has ended by then, or ends as interrupted with the session.
        """
        while spec.identity in self._open:  # the same arm drawn twice: the second one takes the first one's result
            self.step()
        started = time.time()
        known = None if again else self.store.find(spec.identity)
        if known is None:
            while not self.pool.has_free_slot():  # a pack may have broken, so that fewer trials fit side by side
                self.step()
            if spec.arm is not None:
                self.store.adapters.find(spec.adapter_id)  # a damaged one is set aside here, where a person hears of it
            self.pool.submit(spec)  # first: the worker need not wait for the tracker
        trial = OpenTrial(number, spec, self.tracker.open_trial(self.parent, spec), started, report, done)
        self._open[spec.identity] = trial
        self.display.began(number, spec)
        if known is not None:
            self._finish(trial, known)
        self.stop.check()  # a study of which all trials are known never waits for a worker

    def step(self) -> None:
        """Waits a moment for what workers say, and acts on it.

        Raises:
            Interrupted: the sweep was asked to stop.
        """
        self.stop.check()
        self.beat()
        self.tracker.poll()
        for event in self.pool.events(_TICK_SECONDS):
            trial = self._open[event.spec.identity]
            match event.message:
                case Progress():
                    self.display.progressed(trial.spec, event.message)
                case Reported(_, step, loss):
                    self.pool.decide(event.spec, prune=trial.report(step, loss))
                case Ended(result):
                    # a worker that dies between committing a trial and saying so has finished it all the same
                    self._finish(trial, self.store.find(trial.spec.identity) or result)

    def finish_all(self) -> None:
        """Waits until no trial is open."""
        while self._open:
            self.step()

    def _finish(self, trial: OpenTrial, result: TrialResult) -> None:
        run_id = self.tracker.close_trial(trial.run_id, result, self.store.artifacts(result))
        del self._open[trial.spec.identity]
        trial.done(TrialRecord(trial.number, result, run_id))
        self.display.ended(trial.number, result)
