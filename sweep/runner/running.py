"""A running trial: what it has measured so far, and its record once it has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sweep.evaluation.evaluator import Evaluation
from sweep.methods import method_of
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
from sweep.runner.early_stopping import EarlyStopping
from sweep.training.base_model import LoadedBase
from sweep.training.memory import PeakMemory

_EVALUATION_PHASES = ("score", "answer", "general")


class Listener(Protocol):
    """Hears how far a trial is."""

    def progress(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Receives the progress of a phase.

        Args:
            phase: `train` (counted in steps), `score` or `answer` (in examples), or `wait` (in seconds) for an adapter that is in
                training elsewhere.
            loss: the step's training loss, in `train`.
        """

    def report(self, step: int, loss: float) -> bool:
        """Receives a loss for the pruner; returns whether to stop the trial."""


@dataclass
class RunningTrial:
    """What a trial has measured so far.

    Attributes:
        peak: measures the training's peak memory.
        phases: seconds by phase.
        probed_peak: peak memory of a separate training pass, where one was measured; it replaces `peak`.
        adapter: the record of the adapter, once it is trained or was found in the store.
        trained_here: whether this trial trains the adapter, rather than finding it.
        stopping: the looks of early stopping, while this trial trains with it.
        parent: the record of the adapter that the trial's is cut from, once that one is in the store.
        waits_since: when the trial began to wait for an adapter that is in training elsewhere, on the clock of `clock`; else None.
        made_again: whether an adapter that could not be used was set aside for this trial; a second one ends it.
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
    adapter: TrainedAdapter | None = None
    trained_here: bool = False
    stopping: EarlyStopping | None = None
    parent: TrainedAdapter | None = None
    waits_since: float | None = None
    made_again: bool = False

    @property
    def training(self) -> TrainedAdapter | None:
        """The training that counts as this trial's; None for a test trial whose adapter was found, and for the base."""
        return self.adapter if self.spec.adapter_of is None or self.trained_here else None

    def training_peak(self) -> tuple[int, str]:
        """Peak memory of the training in bytes and what it covers, see `Measures.peak_of`; call when training ends."""
        if self.probed_peak is not None:
            return self.probed_peak, "probe"
        return self.peak.peak(), "training"

    def restart(self) -> None:
        """Forgets what was measured so far: a cut adapter's trial begins when it is cut."""
        self.started, self.clock = time.time(), time.perf_counter()
        self.history, self.reports, self.phases, self.probed_peak = [], [], {}, None
        self.adapter, self.trained_here, self.stopping = None, False, None

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the seconds of the block to a phase."""
        clock = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - clock

    def result(
        self, status: Status, reason: str | None, measures: Measures | None, provenance: Provenance
    ) -> TrialResult:
        """The trial's record; it includes the training of an adapter that was found."""
        seconds = time.perf_counter() - self.clock
        earlier = self.training if not self.trained_here else None
        return TrialResult(
            spec=self.spec,
            status=status,
            reason=reason,
            measures=measures,
            history=earlier.history if earlier else tuple(self.history),
            reports=earlier.reports if earlier else tuple(self.reports),
            started=earlier.started if earlier else self.started,
            seconds=earlier.seconds + seconds if earlier else seconds,
            provenance=provenance,
        )


def measures_of(trial: RunningTrial, evaluation: Evaluation, base: LoadedBase) -> Measures:
    """What a complete trial measured, in training (here or earlier) and evaluation."""
    adapter, training = trial.adapter, trial.training
    parameters = adapter.parameters if adapter else 0
    phases = {**(training.phases if training else {}), **trial.phases, **evaluation.phases}
    train_seconds = phases.get("train", 0.0)
    added = 0 if trial.spec.arm is not None and method_of(trial.spec.arm).trains_base else parameters
    prose = evaluation.forgetting
    rise = prose if trial.spec.arm is not None else None
    return Measures(
        loss=evaluation.loss,
        bits_per_byte=evaluation.bits_per_byte,
        metrics=evaluation.metrics,
        nearest=evaluation.nearest,
        shares=evaluation.shares,
        nearest_shares=evaluation.nearest_shares,
        examples=len(evaluation.outcomes),
        tokens=sum(one.tokens for one in evaluation.outcomes),
        peak_bytes=evaluation.peak_bytes,
        peak_above_base_bytes=max(0, evaluation.peak_bytes - base.resident),
        base_bytes=base.bytes,
        adapter_bytes=adapter.bytes if adapter else 0,
        trainable_parameters=parameters,
        trainable_fraction=parameters / (base.parameters + added),
        train_seconds=train_seconds,
        eval_seconds=sum(seconds for phase, seconds in phases.items() if phase in _EVALUATION_PHASES),
        tokens_per_second=training.tokens / train_seconds if training and train_seconds > 0 else 0.0,
        train_loss=_last_tenth(training.history if training else ()),
        general_loss=prose.loss if prose else None,
        forgetting_loss_delta=rise.rise if rise else None,
        forgetting_low=rise.low if rise else None,
        forgetting_high=rise.high if rise else None,
        prose_rises=rise.rises if rise else (),
        general_right=evaluation.general_right,
        general_of_kind=True,
        phases=phases,
        peak_of=evaluation.peak_of,
        kept_step=adapter.kept_step if adapter else None,
        energy_kept=adapter.energy_kept if adapter else None,
        module_ranks=adapter.module_ranks if adapter else {},
        kinds=dict(sorted(Counter(example.kind for example in evaluation.examples if example.kind).items())),
    )


def _last_tenth(history: Sequence[StepLoss]) -> float | None:
    """Mean training loss over the last tenth of the steps."""
    last = history[-max(1, len(history) // 10) :]
    return sum(step.loss for step in last) / len(last) if last else None
