"""A pool whose trials end as soon as they have begun, and sessions on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Display, Silent
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import SweepRun
from sweep.workers.messages import LossReport, TrialEnd
from sweep.workers.pool import Event, Pool
from tests.conftest import measures

Outcome = Callable[[TrialSpec], TrialResult]


def complete(spec: TrialSpec) -> TrialResult:
    loss = 0.3 + spec.arm.learning_rate if spec.arm else 4.0
    return TrialResult(spec, Status.COMPLETE, measures=measures(loss, spec.rank), started=float(spec.seed), seconds=1.0)


def interrupted(spec: TrialSpec) -> TrialResult:
    return TrialResult(spec, Status.INTERRUPTED, "made up")


def in_turn(*statuses: Status) -> Outcome:
    """The first trial ends with the first status, and so on."""
    left = list(statuses)

    def outcome(spec: TrialSpec) -> TrialResult:
        status = left.pop(0)
        measured = measures(4.0) if status is Status.COMPLETE else None
        return TrialResult(spec, status, "the worker was killed by signal 9 (SIGKILL)", measured)

    return outcome


@dataclass
class InstantPool:
    """Ends all trials at the next `events`, as `outcome` says.

    Attributes:
        reports: losses that each trial reports before it ends; a pruned trial ends at the first report that says so.
        begun: all trials that were submitted.
    """

    outcome: Outcome = complete
    slots: int = 1
    reports: tuple[float, ...] = ()
    specs: list[TrialSpec] = field(default_factory=list)
    begun: list[TrialSpec] = field(default_factory=list)
    pruned: set[str] = field(default_factory=set)

    def has_free_slot(self) -> bool:
        return len(self.specs) < self.slots

    def fewest_trials(self) -> int:
        return len(self.specs)

    def submit(self, spec: TrialSpec) -> None:
        assert self.has_free_slot()
        self.specs.append(spec)
        self.begun.append(spec)

    def events(self, timeout: float) -> Iterator[Event]:
        running, self.specs = self.specs, []
        for spec in running:
            for step, loss in enumerate(self.reports, start=1):
                if spec.identity not in self.pruned:
                    yield Event(spec, LossReport(spec.identity, step, loss))
            ended = self.outcome(spec)
            if spec.identity in self.pruned:
                ended = TrialResult(spec, Status.PRUNED, "worse than others of its rank")
            yield Event(spec, TrialEnd(ended))

    def decide(self, spec: TrialSpec, *, prune: bool) -> None:
        if prune:
            self.pruned.add(spec.identity)


def session_on(
    pool: InstantPool,
    folder: Path,
    *,
    store: TrialStore | None = None,
    display: Display | None = None,
    stop: StopRequest | None = None,
) -> Session:
    """A session that records in memory; by default with an empty store in the folder."""
    tracker = MemoryTracker()
    parent = tracker.open_sweep(SweepRun("made", ""))
    return Session(
        cast(Pool, pool),
        tracker,
        parent,
        store or TrialStore(Paths(folder)),
        display or Silent(),
        stop or StopRequest(),
    )
