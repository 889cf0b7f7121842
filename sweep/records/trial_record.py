"""A trial as the study remembers it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from sweep.records.arm import Arm
from sweep.records.trial import Measures, Provenance, Status, TrialResult, TrialSpec


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial that ended, whatever its status.

    Attributes:
        number: Optuna's number of the trial; -1 for the unadapted base; in later stages the order in the stage, from 1.
        run_id: the trial's MLflow run.
        nats: negative log-likelihood of each certify example's completion, summed over its tokens; empty unless the trial is
            complete and was evaluated on certify.
        scores: the score of each certify example's answer, 0 to 1; empty where `nats` is, or where no answers were written.
    """

    number: int
    result: TrialResult
    run_id: str | None = None
    nats: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def spec(self) -> TrialSpec:
        return self.result.spec

    @property
    def identity(self) -> str:
        return self.result.spec.identity

    @property
    def name(self) -> str:
        """The MLflow run name, for example `r16-lr1e-03-s0`."""
        return self.result.spec.name

    @property
    def rank(self) -> int:
        """The arm's rank, 0 for the unadapted base."""
        return self.result.spec.rank

    @property
    def arm(self) -> Arm | None:
        """The recipe, or None for the unadapted base."""
        return self.result.spec.arm

    @property
    def seed(self) -> int:
        return self.result.spec.seed

    @property
    def status(self) -> Status:
        return self.result.status

    @property
    def reason(self) -> str | None:
        """Why the trial has this status; None if it is complete."""
        return self.result.reason

    @property
    def is_complete(self) -> bool:
        return self.result.status is Status.COMPLETE and self.result.measures is not None

    @property
    def has_diverged(self) -> bool:
        """Whether it failed because a loss was not finite, as it would again: the same seed draws the same data and weights."""
        return self.status is Status.FAILED and (self.reason or "").startswith("diverged")

    @property
    def measures(self) -> Measures | None:
        """What was measured; None unless complete."""
        return self.result.measures

    @property
    def loss(self) -> float:
        """Nats per completion token; infinity unless complete."""
        return self.result.measures.loss if self.result.measures is not None else math.inf

    @property
    def provenance(self) -> Provenance | None:
        """None in records of early versions."""
        return self.result.provenance

    @property
    def started(self) -> float:
        """Seconds since the epoch, UTC."""
        return self.result.started

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the whole trial."""
        return self.result.seconds

    def evaluated(self) -> EvaluatedTrial:
        """This record as that of a complete trial or of the evaluated base.

        Raises:
            ValueError: it is not complete.
        """
        return EvaluatedTrial(self.number, self.result, self.run_id, self.nats, self.scores)

    def completed(self) -> CompletedTrial:
        """This record as that of a complete trial of an arm.

        Raises:
            ValueError: it is not complete, or is the unadapted base.
        """
        return CompletedTrial(self.number, self.result, self.run_id, self.nats, self.scores)


@dataclass(frozen=True, slots=True)
class EvaluatedTrial(TrialRecord):
    """A complete trial or the unadapted base, which has no arm: it has measures.

    Raises:
        ValueError: the trial is not complete.
    """

    def __post_init__(self) -> None:
        if not self.is_complete:
            raise ValueError(f"trial {self.identity} is not complete: {self.status.value}")

    @property
    def has_diverged(self) -> bool:
        """Whether it failed because a loss was not finite, as it would again: the same seed draws the same data and weights."""
        return self.status is Status.FAILED and (self.reason or "").startswith("diverged")

    @property
    def measures(self) -> Measures:
        return cast(Measures, self.result.measures)  # checked in __post_init__

    def metric(self, name: str) -> float | None:
        """The task metric of this name, or of `name/kind`; None where no answers were written."""
        return self.measures.metrics.get(name)

    def nearest(self, name: str) -> float | None:
        """Of the bare base, that metric for the answers of the nearest training examples; None where it is not recorded."""
        return self.measures.nearest.get(name)


@dataclass(frozen=True, slots=True)
class CompletedTrial(EvaluatedTrial):
    """A complete trial of an arm: it has measures and an arm.

    Raises:
        ValueError: the trial is not complete, or is the unadapted base.
    """

    def __post_init__(self) -> None:
        EvaluatedTrial.__post_init__(self)
        if self.result.spec.arm is None:
            raise ValueError(f"trial {self.identity} is the unadapted base, which has no arm")

    @property
    def arm(self) -> Arm:
        return cast(Arm, self.result.spec.arm)  # checked in __post_init__
