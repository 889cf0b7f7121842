"""A whole study, resolved and checked, before anything of it has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from sweep.records.arm import Arm, Value
from sweep.records.keys import RANK, Key, Limit
from sweep.records.rung import LadderArm, Rung
from sweep.records.training import Training
from sweep.records.worker_setup import WorkerSetup

SAMPLERS = ("tpe", "random", "grid", "gp", "qmc", "nsga2")
PRUNERS = ("none", "median", "percentile", "hyperband", "wilcoxon")

RANKS = (2, 4, 8, 16, 32)
"""The ranks that are searched by default."""

LADDER = (1, *RANKS)
"""The ranks that are compared by default."""

LADDER_BY = Key(
    "how smaller ranks are made: the largest rank's adapters are cut to them (cut), or each rank is trained (train)",
    choices=("cut", "train"),
)

KNOWN_COSTS = ("adapter_bytes", "trainable_parameters")
"""Costs that are known before anything is trained."""

COSTS = (*KNOWN_COSTS, "train_seconds", "peak_memory")
"""What a ladder of arms can be ordered by."""

MOST_SEEDS = 1000
SEEDS = Limit(1, MOST_SEEDS)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The values that Optuna may choose from; what the method does not have is empty.

    Attributes:
        ranks: powers of two in ascending order, each the same multiple of the one before.
        targets: each entry is one set of modules: their names, sorted and joined with commas.
        learning_rate: lowest and highest, searched on a log scale.
        own: the method's own parameters that are searched, each with its values.
    """

    ranks: tuple[int, ...]
    alpha_ratios: tuple[float, ...]
    dropouts: tuple[float, ...]
    targets: tuple[str, ...]
    learning_rate: tuple[float, float]
    own: tuple[tuple[str, tuple[Value, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchedMethod:
    """A method of a search over several methods (`search.space.method`).

    Attributes:
        arm: its recipe: the values that are not searched, and where the search starts.
        space: what is searched of it.
    """

    arm: Arm
    space: SearchSpace

    @property
    def name(self) -> str:
        """The method's name."""
        return self.arm.method


@dataclass(frozen=True, slots=True)
class Search:
    """How the search space is searched.

    Attributes:
        arms: `search.arms`, completed from the recipe; empty for the practitioners' defaults.
    """

    trials: Annotated[int, Key("trials in all, those of earlier runs included", Limit(1, 100_000))] = 8
    sampler: Annotated[str, Key("Optuna sampler that chooses arms; also sampler=NAME", choices=SAMPLERS)] = "tpe"
    pruner: Annotated[
        str, Key("Optuna pruner that stops trials early, within one rank; also pruner=NAME", choices=PRUNERS)
    ] = "none"
    sampler_options: Annotated[
        Mapping[str, Any], Key("arguments of Optuna's sampler", example="{n_startup_trials: 5}")
    ] = field(default_factory=dict)
    pruner_options: Annotated[
        Mapping[str, Any], Key("arguments of Optuna's pruner", example="{n_warmup_steps: 20}")
    ] = field(default_factory=dict)
    grid_learning_rates: Annotated[
        int, Key("sampler=grid: number of learning rates, evenly spaced on a log scale", Limit(1, 1000))
    ] = 3
    reports: Annotated[int, Key("reports to the pruner per trial", Limit(1, 10_000))] = 4
    max_failures: Annotated[int, Key("failures in a row that stop the study", Limit(1, 100_000))] = 5
    arms: tuple[Arm, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the verdict is about, declared before any training (docs/verdict.md).

    Attributes:
        ladder: ranks, ascending; or of a ladder of arms a `Rung` for each of `arms`.
        ladder_by: `cut` or `train`; records of versions that had no such key are `train`.
        arms: the arms of a ladder of arms, the cheapest first; empty if it is one of ranks.
    """

    ladder: Annotated[tuple[int, ...], Key("ranks that the verdict compares: two or more, ascending", RANK)] = RANKS
    seeds: Annotated[
        int, Key("maximum seeds per rank; the verdict is computed at 3, 5, 8, 12, ... seeds until it is clear", SEEDS)
    ] = 5
    margin: Annotated[
        float,
        Key("how much worse than the best rank a rank may be; certify.margin_of is its unit", Limit(0, 1, above=True)),
    ] = 0.02
    margin_of: Annotated[
        str,
        Key(
            "unit of the margin: share of the gain from fine-tuning (gain), share of the loss (loss), or points of the task "
            "metric, 0 to 1 (metric)",
            choices=("gain", "loss", "metric"),
        ),
    ] = "gain"
    alpha: Annotated[
        float, Key("maximum probability of certifying a rank that is not good enough", Limit(1e-6, 0.5))
    ] = 0.05
    ladder_by: Annotated[str, LADDER_BY] = "train"
    confirm: Annotated[
        bool, Key("certify.ladder_by=cut: also train the chosen rank from the start, with the same seeds, and compare")
    ] = False
    cost: Annotated[
        str,
        Key(
            "what a ladder of arms is ordered by, the cheapest first; seconds and memory cannot be known before training, so with them the "
            "order is the one written, which is checked afterwards",
            choices=COSTS,
        ),
    ] = COSTS[0]
    max_forgetting: Annotated[
        float | None,
        Key(
            "how much the loss on general prose may rise, in nats per token: a rank that is not shown to stay below it is not certified; "
            "null for no such condition",
            Limit(0, 100),
            example="0.2",
        ),
    ] = None
    arms: tuple[LadderArm, ...] = ()

    @property
    def cut_from(self) -> int | None:
        """The rank whose adapters are cut to the smaller ones; None if every rank is trained."""
        return max(self.ladder) if self.ladder_by == "cut" and self.ladder else None

    def rung_of(self, arm: Arm | None) -> int:
        """The step of the ladder that an arm belongs to, 0 for the unadapted base; in a ladder of ranks the arm's rank.

        Raises:
            KeyError: a ladder of arms does not hold it.
        """
        if arm is None:
            return 0
        if not self.arms:
            return arm.rank
        return {rung.of.arm: rung for rung in self.ladder if isinstance(rung, Rung)}[replace(arm, learning_rate=0.0)]

    def with_arms(self, arms: Sequence[LadderArm]) -> Declaration:
        """This declaration about a ladder of these arms, the cheapest first."""
        return replace(self, arms=tuple(arms), ladder=tuple(Rung(place, arm) for place, arm in enumerate(arms, 1)))


@dataclass(frozen=True, slots=True)
class CapacityRequest:
    """What a worker needs to compute how many trials it can train side by side.

    Attributes:
        slots: the number requested; None for as many as are fastest.
        largest: arms of which one takes the most memory in this study; the worker, which knows the base's shapes, finds it.
        workers: number of workers that share the memory of the worker's device.
        measures: whether a GPU worker may time steps to find out how many are fastest.
        timings: what earlier workers of the study measured: by the name of their device, the seconds of a step by number of slots.
        arms: arms whose adapters are made without training them, to know their sizes.
    """

    slots: int | None
    largest: tuple[Arm, ...]
    training: Training
    seed: int
    workers: int
    measures: bool = True
    timings: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    arms: tuple[Arm, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A whole study, resolved and checked.

    Attributes:
        training: `steps` is 0 while `epochs` is not resolved, see `sweep.config.load.with_steps`.
        epochs: `train.epochs` until it is resolved to steps, else None.
        arm: the recipe of a single trial; in a search, of the first arms; in a search over methods that of the first method.
        space: what is searched; in a search over methods what is searched of the first one.
        tracking_uri: MLflow's; None for the database under `mlruns/`.
        system_metrics: whether MLflow samples the load of the machine.
        storage_url: Optuna's; None for the database under `mlruns/`.
        wall_clock: seconds; None for no limit.
        workers: child processes that train at the same time.
        threads_alone: CPU threads of a worker that has the machine to itself, as in a single trial.
        certify: whether the study ends with a verdict.
        rate_trials: trials that tune the learning rates of the ladder's ranks; of a ladder of arms, for each of them.
        slots: trials that a worker trains side by side; None until a worker has computed the fastest number.
        measure_slots: whether a GPU worker may time steps for that.
        first_look: seeds per rank before the verdict is computed for the first time.
        config: the resolved configuration as YAML, secrets masked.
        dry_run: whether to print the plan and end.
        adds_examples: whether the study chooses the number of certify examples, and adds some where that decides sooner than seeds.
        given: the keys that the command line sets; empty in the plan of a record.
        notes: what the plan does other than asked for, for the reader.
        methods: the methods of a search over methods, in the order of `search.space.method`; empty in a search of one.
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
    certify: bool
    rate_trials: int
    first_look: int
    slots: int | None
    measure_slots: bool = True
    epochs: float | None = None
    dry_run: bool = False
    adds_examples: bool = False
    given: frozenset[str] = field(default=frozenset(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    methods: tuple[SearchedMethod, ...] = ()
    system_metrics: bool = False

    @property
    def searched(self) -> tuple[SearchedMethod, ...]:
        """Every method that is searched, at least one."""
        return self.methods or (SearchedMethod(self.arm, self.space),)

    @property
    def tuning_trials(self) -> int:
        """Trials that tune the learning rates of the whole ladder."""
        return self.rate_trials * max(1, len(self.declaration.arms))

    @property
    def parallel(self) -> int:
        """Number of trials in training at the same time."""
        return self.workers * (self.slots or 1)
