"""A study as it is remembered: what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.records.plan import Declaration
from sweep.records.trial import Status, TrialResult, loss_of


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the study remembers it.

    Attributes:
        number: Optuna's number of the trial; -1 for the unadapted base.
        run_id: the trial's MLflow run.
    """

    number: int
    result: TrialResult
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """All that is known of a study, as every report is made from it.

    Attributes:
        identity: hash of what all its trials share and of the search space.
        base: the unadapted base's record, or None if it was not scored.
        trials: those that ended, in order; interrupted ones are not among them.
        interrupted: how many were interrupted.
        planned: trials in all, as last asked for.
        config: the resolved configuration as YAML.
    """

    name: str
    identity: str
    model: str
    task: str
    metric: str
    base: TrialRecord | None
    trials: tuple[TrialRecord, ...]
    interrupted: int
    planned: int
    declaration: Declaration
    data_hash: str
    target_sets: Mapping[str, tuple[str, ...]]
    config: str
    command: str

    def complete(self) -> list[TrialRecord]:
        """The complete trials."""
        return [trial for trial in self.trials if trial.result.status is Status.COMPLETE]

    def best(self) -> TrialRecord | None:
        """The complete trial with the lowest loss on tune; of equals the one with the lower rank."""
        return min(self.complete(), key=lambda trial: (loss_of(trial.result), trial.result.spec.rank), default=None)
