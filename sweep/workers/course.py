"""A trial on its way: what has happened to it so far, and its record, however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sweep.records import Measures, Provenance, Report, Status, StepLoss, TrialResult, TrialSpec
from sweep.training.memory import PeakMemory
from sweep.workers.messages import Progress


@dataclass(frozen=True)
class Listener:
    """Whom a trial tells how far it is.

    Attributes:
        progress: told often.
        report: told a value for the pruner; answers whether to stop.
    """

    progress: Callable[[Progress], None]
    report: Callable[[int, float], bool]


@dataclass
class Course:
    """What has happened in a trial so far.

    Attributes:
        phases: seconds by phase.
        probed_peak: peak memory of a training pass of its own, where one was measured.
    """

    spec: TrialSpec
    listener: Listener
    peak: PeakMemory
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    history: list[StepLoss] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    probed_peak: int | None = None

    @property
    def trains(self) -> bool:
        """Whether an adapter is trained, rather than the base or a finished adapter scored."""
        return self.spec.arm is not None and self.spec.adapter_of is None

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the seconds within to a phase."""
        clock = time.perf_counter()
        try:
            yield
        finally:
            self.add(phase, time.perf_counter() - clock)

    def add(self, phase: str, seconds: float) -> None:
        """Adds seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds

    def tell(self, phase: str, done: int, total: int) -> None:
        """Tells the listener how far the trial is."""
        self.listener.progress(Progress(self.spec.identity, phase, done, total))

    def result(
        self, status: Status, reason: str | None, measures: Measures | None, provenance: Provenance
    ) -> TrialResult:
        """The trial's record."""
        return TrialResult(
            spec=self.spec,
            status=status,
            reason=reason,
            measures=measures,
            history=tuple(self.history),
            reports=tuple(self.reports),
            started=self.started,
            seconds=time.perf_counter() - self.clock,
            provenance=provenance,
        )
