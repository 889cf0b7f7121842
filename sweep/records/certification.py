"""What the certify and final stages leave: rates tuned for each rank, ladder times seeds with every example's loss, test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.records.plan import Declaration
from sweep.records.recipe import Arm
from sweep.records.trial import Status, TrialResult, TrialSpec, loss_of


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the study remembers it.

    Attributes:
        number: Optuna's number of the trial; -1 for the unadapted base; in later stages the order in the stage, from 1.
        run_id: the trial's MLflow run.
    """

    number: int
    result: TrialResult
    run_id: str | None = None

    @property
    def spec(self) -> TrialSpec:
        return self.result.spec

    @property
    def rank(self) -> int:
        """The arm's rank, 0 for the unadapted base."""
        return self.result.spec.rank

    @property
    def seed(self) -> int:
        return self.result.spec.seed

    @property
    def status(self) -> Status:
        return self.result.status

    @property
    def is_complete(self) -> bool:
        return self.result.status is Status.COMPLETE

    @property
    def loss(self) -> float:
        """Nats a completion token; infinity unless complete."""
        return loss_of(self.result)


@dataclass(frozen=True, slots=True)
class ScoredTrial:
    """A trial with what each scored example came to.

    Attributes:
        nats: negative log-likelihood of each example's completion, summed over its tokens; empty unless complete.
        scores: the task metric of each example's answer, 0 to 1; empty unless complete.
    """

    trial: TrialRecord
    nats: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RateChoice:
    """The learning rate that a rank is judged with.

    Attributes:
        tried: the rates tried for this rank on tune, ascending, and the loss of each (nats a token).
        at_edge: the best lies at the edge of what may be tried, so that a better one may lie beyond.
    """

    rank: int
    learning_rate: float
    tried: tuple[tuple[float, float], ...]
    at_edge: bool = False


@dataclass(frozen=True, slots=True)
class Certification:
    """The certify and final stages of a study, as far as they have come.

    Attributes:
        declared: what was declared before the first trial of the stage was trained.
        recipe: the recipe from `explore`: targets, dropout and alpha ratio count, rank and rate do not.
        rates: for each ladder rank whose rate is tuned.
        tuning: the trials that tuned the rates, scored on tune.
        tokens: completion tokens of each certify example.
        base: the unadapted base on certify.
        trials: ladder times seeds, scored on certify, every status.
        looks: the numbers of seeds at which the verdict was computed, ascending.
        examples: at most this many certify examples were scored at the last look; 0 before it, and in records of earlier versions.
        extended: the number of seeds at the last look, and of certify examples at that time, before each time that examples were
            added; those that were there come first among the examples.
        stopped: why no more seeds were added although the bracket is open, in words; None if it is closed or still running.
        final: scored on test, once: the base (rank 0), the chosen rank and the largest rank.
    """

    declared: Declaration
    recipe: Arm
    rates: tuple[RateChoice, ...] = ()
    tuning: tuple[TrialRecord, ...] = ()
    tokens: tuple[int, ...] = ()
    base: ScoredTrial | None = None
    trials: tuple[ScoredTrial, ...] = ()
    looks: tuple[int, ...] = ()
    extended: tuple[tuple[int, int], ...] = ()
    examples: int = 0
    stopped: str | None = None
    final: tuple[TrialRecord, ...] = ()

    def complete(self, rank: int) -> list[ScoredTrial]:
        """The complete certify trials of a rank, by seed."""
        found = [
            scored
            for scored in self.trials
            if scored.trial.result.spec.rank == rank and scored.trial.result.status is Status.COMPLETE
        ]
        return sorted(found, key=lambda scored: scored.trial.result.spec.seed)

    def trained(self) -> tuple[TrialRecord, ...]:
        """The trials that trained an adapter: those that tuned rates, then ladder times seeds, every status."""
        return (*self.tuning, *(scored.trial for scored in self.trials))

    def rate_of(self, rank: int) -> RateChoice | None:
        """The tuned rate of a rank."""
        return next((choice for choice in self.rates if choice.rank == rank), None)

    def on_test(self) -> Mapping[int, TrialRecord]:
        """The complete test scores by rank, 0 for the base."""
        return {trial.result.spec.rank: trial for trial in self.final if trial.result.status is Status.COMPLETE}
