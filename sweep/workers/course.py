"""A trial on its way: what has happened to it so far, and its record, however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sweep.records import (
    Measures,
    Provenance,
    Report,
    Status,
    StepLoss,
    TrainedAdapter,
    TrialResult,
    TrialSpec,
)
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
class RunningTrial:
    """What has happened in a trial so far.

    Attributes:
        phases: seconds by phase.
        probed_peak: peak memory of a training pass of its own, where one was measured.
        trained: the record of the adapter, once its training is over or it was found.
        trained_here: whether the adapter was trained in this trial, rather than found.
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
    trained: TrainedAdapter | None = None
    trained_here: bool = False

    @property
    def training(self) -> TrainedAdapter | None:
        """The training that counts as this trial's; None for a test trial whose adapter was found, and for the base."""
        return self.trained if self.spec.adapter_of is None or self.trained_here else None

    def trained_peak(self) -> tuple[int, str]:
        """Peak memory of the training in bytes, and what it was measured over; call at its end."""
        if self.probed_peak is not None:
            return self.probed_peak, "probe"
        return self.peak.peak(), "training"

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
        """The trial's record; the training of an adapter that was found counts as this trial's."""
        seconds = time.perf_counter() - self.clock
        found = self.training if not self.trained_here else None
        return TrialResult(
            spec=self.spec,
            status=status,
            reason=reason,
            measures=measures,
            history=found.history if found else tuple(self.history),
            reports=found.reports if found else tuple(self.reports),
            started=found.started if found else self.started,
            seconds=found.seconds + seconds if found else seconds,
            provenance=provenance,
        )
