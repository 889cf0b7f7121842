"""The messages between parent and worker."""

from __future__ import annotations

from dataclasses import dataclass

from sweep import errors
from sweep.errors import GoldilocksError, Problems
from sweep.records import LoadReport, TrialResult, TrialSpec


@dataclass(frozen=True, slots=True)
class RunTrial:
    """Parent: run this trial."""

    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """Parent: whether to stop the trial that sent a `LossReport`."""

    identity: str
    prune: bool


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """Worker: the setup is loaded."""

    loaded: LoadReport


@dataclass(frozen=True, slots=True)
class Refusal:
    """Worker: the setup cannot be loaded, or a trial cannot be run, for a reason that a person can fix. The worker ends.

    Attributes:
        kind: the name of the error's class in `sweep.errors`.
        problems: what is wrong.
    """

    kind: str
    problems: tuple[str, ...]

    @classmethod
    def of(cls, error: GoldilocksError) -> Refusal:
        """The message for an error."""
        return cls(type(error).__name__, error.problems if isinstance(error, Problems) else (str(error),))

    def error(self) -> GoldilocksError:
        """The error, on the parent's side."""
        kind = getattr(errors, self.kind, GoldilocksError)
        return kind(self.problems) if issubclass(kind, Problems) else GoldilocksError("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker: how far the trial is.

    Attributes:
        identity: the trial's.
        phase: `train` (counted in steps), `score` or `answer` (in examples), or `wait` (in seconds) for an adapter that another
            worker trains.
        loss: the step's training loss, in `train`.
    """

    identity: str
    phase: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class LossReport:
    """Worker: a loss for the pruner; the worker waits for a `Decision`."""

    identity: str
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """Worker: the trial has ended.

    Attributes:
        worker_is_sound: whether the worker can run further trials.
    """

    result: TrialResult
    worker_is_sound: bool = True


@dataclass(frozen=True, slots=True)
class PackFailure:
    """Worker: something broke while several trials were in training. None of them has ended, and the worker ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeviceFailure:
    """Worker: the process cannot use its device any more. None of its trials has ended, none is known to be the cause, and the
    worker ends.

    Attributes:
        reason: the error of the device.
    """

    reason: str


FromWorker = WorkerReady | Refusal | Progress | LossReport | TrialEnd | PackFailure | DeviceFailure
