"""A study as it is remembered: what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.records.arm import Arm
from sweep.records.plan import Declaration
from sweep.records.trial_record import CompletedTrial, EvaluatedTrial, TrialRecord


@dataclass(frozen=True, slots=True)
class RateChoice:
    """The tuned learning rate of a rank, used by its certify trials.

    Attributes:
        rank: or the `Rung` of a ladder of arms.
        tried: the rates tried for this rank on tune, ascending, and the loss of each (nats per token).
        at_edge: the best rate is at the edge of the range that may be tried, so a better one may lie beyond.
    """

    rank: int
    learning_rate: float
    tried: tuple[tuple[float, float], ...]
    at_edge: bool = False


@dataclass(frozen=True, slots=True)
class Certification:
    """The certify and final stages of a study, as far as they have come.

    Where a rank is asked for or named, it is the `Rung` in a ladder of arms.

    Attributes:
        declared: what was declared before the first trial of the stage was trained.
        recipe: the recipe from `explore`; only its targets, dropout, alpha ratio and method are used.
        rates: one for each ladder rank whose rate is tuned.
        tuning: the trials that tuned the rates, evaluated on tune.
        tokens: completion tokens of each certify example.
        base: the unadapted base on certify.
        trials: the trials of every ladder rank and seed, evaluated on certify, every status.
        looks: the numbers of seeds at which the verdict was computed, ascending.
        examples: maximum number of certify examples at the last look; 0 before it, and in records of earlier versions.
        planned_examples: the number of certify examples that the study has chosen; 0 if it was given, and before it was chosen.
        extended: (seeds, certify examples) at the last look before each time that examples were added; the earlier
            examples come first.
        confirmed: with `declared.confirm`, the trials of the chosen rank trained from the start, evaluated on certify.
        stopped: why no more seeds were added although the bracket is open; None if it is closed or still running.
        final: trials evaluated on test, once: the base, the chosen rank and the largest rank.
    """

    declared: Declaration
    recipe: Arm
    rates: tuple[RateChoice, ...] = ()
    tuning: tuple[TrialRecord, ...] = ()
    tokens: tuple[int, ...] = ()
    base: EvaluatedTrial | None = None
    trials: tuple[TrialRecord, ...] = ()
    looks: tuple[int, ...] = ()
    extended: tuple[tuple[int, int], ...] = ()
    examples: int = 0
    planned_examples: int = 0
    stopped: str | None = None
    final: tuple[TrialRecord, ...] = ()
    confirmed: tuple[TrialRecord, ...] = ()

    def complete(self, rank: int) -> list[CompletedTrial]:
        """The complete certify trials of a rank, by seed."""
        trials = [trial.completed() for trial in self.trials if trial.is_complete and self.rung_of(trial) == rank]
        return sorted(trials, key=lambda trial: trial.seed)

    def complete_ranks(self) -> list[int]:
        """The ranks that have a complete certify trial, ascending."""
        return sorted({self.rung_of(trial) for trial in self.trials if trial.is_complete})

    def trained(self) -> tuple[TrialRecord, ...]:
        """The trials that made an adapter: those that tuned rates, the certify trials, and those that confirm them; every status."""
        return (*self.tuning, *self.trials, *self.confirmed)

    def rate_of(self, rank: int) -> RateChoice | None:
        """The tuned rate of a rank."""
        return next((choice for choice in self.rates if choice.rank == rank), None)

    def on_test(self) -> Mapping[int, EvaluatedTrial]:
        """The complete test trials by rank, 0 for the base."""
        return {self.rung_of(trial): trial.evaluated() for trial in self.final if trial.is_complete}

    def rung_of(self, trial: TrialRecord) -> int:
        """The step of the ladder that a trial of these stages belongs to, 0 for the base; in a ladder of ranks its rank."""
        return self.declared.rung_of(trial.arm)


USUAL_EXAMPLE_WORK = 1 / 400
"""Where no tokens were counted: a hundred examples then cost a quarter of a training."""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """All that is known of a study, as every report is made from it.

    Attributes:
        identity: hash of what all its trials share and of the search space.
        base: the unadapted base on tune, or None if it was not evaluated.
        trials: those that ended, in order; interrupted ones are not among them.
        interrupted: number of interrupted trials.
        planned: trials in all, as last asked for.
        config: the resolved configuration as YAML.
        certification: the certify and final stages, None before they have begun.
        run_page: address of a trial's MLflow run with `{run}` for its id; begins with `#` where it follows the address of
            `mlflow ui`. None if not known.
        parallel: number of trials that ran at the same time, as last asked for.
        importances: share of each searched parameter in the variation of the loss on tune; empty if there are too few
            trials, and after a search over methods.
        method_importances: after a search over methods the same for each method that was tried, within its own trials; empty for one
            with too few trials.
        available: examples of each split that are not too long, evaluated or not; empty in older records.
        seen_before: by split, how many rows are left out of judging because train or tune ask the same (`tasks.Splits.left_out`), and of
            how many; only those splits that have some.
        example_work: of evaluating a certify example with one adapter, in units of the work of a training (counted tokens).
    """

    name: str
    identity: str
    model: str
    task: str
    metric: str
    base: EvaluatedTrial | None
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
    seen_before: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    example_work: float = USUAL_EXAMPLE_WORK
    method_importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def complete(self) -> list[CompletedTrial]:
        """The complete trials of the explore stage."""
        return [trial.completed() for trial in self.trials if trial.is_complete]

    def methods(self) -> tuple[str, ...]:
        """The methods that were tried, in the order of their first trials; several after a search over methods."""
        return tuple(dict.fromkeys(trial.arm.method for trial in self.trials if trial.arm is not None))

    def all_trials(self) -> list[TrialRecord]:
        """The trials of every stage in the order of the stages, the base first."""
        later: list[TrialRecord] = []
        if self.certification is not None:
            base = [self.certification.base] if self.certification.base else []
            later = [*base, *self.certification.trained(), *self.certification.final]
        return [*([self.base] if self.base else []), *self.trials, *later]

    def best(self) -> CompletedTrial | None:
        """The complete trial with the lowest loss on tune; of equals the one with the lower rank."""
        return min(self.complete(), key=lambda trial: (trial.loss, trial.rank), default=None)
