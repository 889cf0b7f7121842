"""What parent and worker say to one another over their pipe."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.records import Loaded, TrialResult, TrialSpec


@dataclass(frozen=True, slots=True)
class Run:
    """Parent: run this trial."""

    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """Parent: the answer to a `Reported`."""

    identity: str
    prune: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker: base and data are loaded."""

    loaded: Loaded


@dataclass(frozen=True, slots=True)
class Refused:
    """Worker: the foundation cannot be loaded, for a reason that a person can mend.

    Attributes:
        kind: the name of the error's class in `sweep.errors`.
    """

    kind: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker: how far the trial is.

    Attributes:
        identity: the trial's.
        phase: `train`, `score` or `answer`.
        loss: the training loss of the step, in `train`.
    """

    identity: str
    phase: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """Worker: a value for the pruner; the worker waits for a `Decision`."""

    identity: str
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Worker: the trial has ended, this way or that.

    Attributes:
        worker_is_sound: whether the worker can go on with other trials.
    """

    result: TrialResult
    worker_is_sound: bool = True


@dataclass(frozen=True, slots=True)
class Broke:
    """Worker: something broke while several trials were in training; none of them has ended, and this worker is done for."""

    reason: str


FromWorker = Ready | Refused | Progress | Reported | Ended | Broke
