"""A study as it is remembered: what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.records.certification import Certification, TrialRecord
from sweep.records.plan import Declaration


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
        certification: what the certify and final stages have left, None before they have begun.
        run_page: address of a trial's MLflow run with `{run}` for its id; begins with `#` where it follows the address of
            `mlflow ui`. None if not known.
        parallel: how many trials ran at the same time, as last asked for.
        importances: share of each searched parameter in the variation of the loss on tune; empty if there are too few
            trials to tell.
        available: examples of each split that are not too long, scored or not; empty in older records.
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
    certification: Certification | None = None
    run_page: str | None = None
    parallel: int = 1
    importances: Mapping[str, float] = field(default_factory=dict)
    available: Mapping[str, int] = field(default_factory=dict)

    def complete(self) -> list[TrialRecord]:
        """The complete trials."""
        return [trial for trial in self.trials if trial.is_complete]

    def all_trials(self) -> list[TrialRecord]:
        """The trials of every stage in the order of the stages, the base first."""
        later: list[TrialRecord] = []
        if self.certification is not None:
            base = [self.certification.base.trial] if self.certification.base else []
            later = [*base, *self.certification.trained(), *self.certification.final]
        return [*([self.base] if self.base else []), *self.trials, *later]

    def best(self) -> TrialRecord | None:
        """The complete trial with the lowest loss on tune; of equals the one with the lower rank."""
        return min(self.complete(), key=lambda trial: (trial.loss, trial.rank), default=None)
