"""A whole study, resolved and checked, before anything of it has run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.records.recipe import Arm, Training, WorkerSetup


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What Optuna may choose from.

    Attributes:
        ranks: ascending, each the same power of two above the one before.
        targets: module names, sets of which are joined with commas and sorted.
        learning_rate: lowest and highest, searched on a log scale.
    """

    ranks: tuple[int, ...]
    alpha_ratios: tuple[float, ...]
    dropouts: tuple[float, ...]
    targets: tuple[str, ...]
    learning_rate: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Search:
    """How the search space is searched.

    Attributes:
        trials: how many in all, those of earlier calls included.
        sampler: `tpe`, `random`, `grid`, `gp`, `qmc` or `nsga2`.
        pruner: `none`, `median`, `percentile`, `hyperband` or `wilcoxon`.
        reports: how often a trial reports to the pruner before its end.
        max_failures: so many failures in a row stop the study.
        arms: what to try first, in this order; empty for the practitioners' defaults.
    """

    trials: int
    sampler: str
    pruner: str
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)
    grid_learning_rates: int = 3
    reports: int = 4
    max_failures: int = 5
    arms: tuple[Arm, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the verdict will be about, declared before any training (design of the verdict: docs/architecture.md)."""

    ladder: tuple[int, ...]
    seeds: int
    margin: float
    margin_of: str
    alpha: float


@dataclass(frozen=True, slots=True)
class CapacityRequest:
    """What a worker must know to say how many trials it can train side by side.

    Attributes:
        slots: so many are asked for; None: as many as are fastest.
        largest: the arm that takes most memory of those that may come.
        workers: how many share the machine.
    """

    slots: int | None
    largest: Arm
    training: Training
    seed: int
    workers: int


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A whole study, resolved and checked.

    Attributes:
        arm: the recipe where nothing is searched; its learning rate is that of the first arms of a search.
        tracking_uri: MLflow's, or None for the database under `mlruns/`.
        storage_url: Optuna's, or None for the database under `mlruns/`.
        wall_clock: seconds, or None for no limit.
        workers: child processes that train at the same time.
        threads_alone: of a worker that has the machine to itself, as a single trial has.
        certify: whether a verdict is wanted; without one the study ends with what was explored.
        rate_trials: trials that tune the learning rates of the ladder's ranks.
        slots: trials that a worker trains side by side; None until a worker has said how many are best.
        first_look: so many seeds a rank gets before the verdict is computed for the first time.
        config: the resolved configuration as YAML, secrets masked.
    """

    name: str
    setup: WorkerSetup
    training: Training
    arm: Arm
    seed: int
    space: SearchSpace
    search: Search
    declaration: Declaration
    tracking_uri: str | None
    storage_url: str | None
    wall_clock: float | None
    workers: int
    config: str
    threads_alone: int
    certify: bool = True
    rate_trials: int = 6
    first_look: int = 3
    slots: int | None = 1

    @property
    def parallel(self) -> int:
        """How many trials are in training at the same time."""
        return self.workers * (self.slots or 1)
