"""The whole configuration as one typed record: every key with its type, default, meaning and limits.

A section whose keys are a record's fields is that record (`sweep.records`). The others are here; a subclass adds the keys that the
record itself has no use for. Hydra's YAML files under `conf/` hold only what differs from these defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from sweep.config.devices import AUTO, CHOICES
from sweep.config.method_keys import MethodKeys
from sweep.methods.initialization import INITIALIZATIONS
from sweep.records import BaseModel, Declaration, EvaluationSettings, Quantization, Search, TaskData, Training
from sweep.records.arm import DEFAULT_INIT
from sweep.records.evaluation import REPORT_EXAMPLES
from sweep.records.keys import ALPHA, ALPHA_RATIO, DROPOUT, EXAMPLES, LEARNING_RATE, RANK, Key, Limit
from sweep.records.plan import LADDER, LADDER_BY, MOST_SEEDS, RANKS, SEEDS

COUNT_OR_AUTO = f"whole number, or {AUTO}"


@dataclass(frozen=True, slots=True)
class StudyKeys:
    """`study.*`"""

    name: Annotated[str, Key("name of the Optuna study, the MLflow experiment and the report")]


@dataclass(frozen=True, slots=True)
class LoraKeys:
    """`lora.*`"""

    r: Annotated[int, Key("rank of the adapter; a search chooses from search.space.rank", RANK)] = 16
    alpha_ratio: Annotated[
        float,
        Key("alpha divided by r, the scale of the update (in rsLoRA the scale is this times sqrt(r))", ALPHA_RATIO),
    ] = 2.0
    alpha: Annotated[
        float | None,
        Key(
            "LoRA's alpha, instead of alpha_ratio: sets alpha_ratio = alpha / r, also for the first arms of a search",
            ALPHA,
            example="32",
        ),
    ] = None
    dropout: Annotated[float, Key("dropout on the adapter's input", DROPOUT)] = 0.0
    targets: Annotated[
        Any,
        Key(
            "modules that get an adapter: a set of the model, or module names",
            example="[q_proj,v_proj]",
            kind="a name, or a list of names",
        ),
    ] = "q_v"
    init: Annotated[
        str,
        Key("what A and B start as (docs/methods.md, initialization)", choices=tuple(INITIALIZATIONS), example="pissa"),
    ] = DEFAULT_INIT
    rank_pattern: Annotated[
        Mapping[str, int],
        Key(
            "ranks of single modules, instead of r: by a regular expression for the end of their names, the first that matches "
            "(docs/rank_patterns.md)",
            RANK,
            example="{down_proj: 16}",
        ),
    ] = field(default_factory=dict)
    alpha_pattern: Annotated[
        Mapping[str, float],
        Key(
            "alphas of single modules, likewise; others have alpha_ratio times their rank",
            ALPHA,
            example="{down_proj: 32}",
        ),
    ] = field(default_factory=dict)
    layers: Annotated[
        Any,
        Key(
            "numbers of the layers that get an adapter, from 0; [] for all",
            example="[0,1,20-29]",
            kind="numbers and ranges",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class TrainKeys(Training):
    """`train.*`"""

    epochs: Annotated[
        float | None,
        Key(
            "passes over the training examples, instead of steps: "
            "steps = epochs * examples / (batch_size * gradient_accumulation), rounded up",
            Limit(0, 1_000_000, above=True),
            example="2",
        ),
    ] = None
    learning_rate: Annotated[
        float, Key("peak learning rate (in LoRA+ that of A); a search starts from it", LEARNING_RATE)
    ] = 3e-3
    replay_path: Annotated[
        str | None,
        Key(
            'file with the text for train.replay: a passage a line, or .jsonl with a field "text"; null for our own (tasks/general)',
            example="my_data/general.txt",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RateKeys:
    """`search.space.learning_rate.*`"""

    low: Annotated[float, Key("lowest learning rate, on a log scale", LEARNING_RATE)] = 1e-3
    high: Annotated[float, Key("highest learning rate, on a log scale", LEARNING_RATE)] = 1e-2


@dataclass(frozen=True, slots=True)
class SpaceKeys:
    """`search.space.*`"""

    rank: Annotated[
        tuple[int, ...],
        Key("ranks: powers of two in ascending order, each the same multiple of the one before", RANK),
    ] = RANKS
    alpha_ratio: Annotated[tuple[float, ...], Key("values of alpha / r", ALPHA_RATIO)] = (1.0, 2.0, 4.0)
    dropout: Annotated[tuple[float, ...], Key("values of dropout", DROPOUT)] = (0.0, 0.05, 0.1)
    targets: Annotated[
        tuple[str, ...],
        Key("sets of target modules: names from model.target_sets, or module names joined with commas"),
    ] = ("q_v", "attention", "all_linear")
    learning_rate: Annotated[RateKeys, Key("range of the learning rate")] = field(default_factory=RateKeys)
    method: Annotated[
        tuple[str, ...],
        Key(
            "methods of a search over methods, each with its own parameters and learning rates; [] searches method=NAME alone "
            "(docs/methods.md)",
            example="[lora,dora,prompt_tuning]",
        ),
    ] = ()
    learning_rates: Annotated[
        Mapping[str, tuple[float, ...]],
        Key(
            "search over methods: lowest and highest learning rate of a method, instead of its own range",
            example="{prompt_tuning: [1e-2, 1e-1]}",
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchKeys(Search):
    """`search.*`"""

    report_examples: Annotated[int, Key("tune examples per report to the pruner", EXAMPLES)] = REPORT_EXAMPLES
    arms: Annotated[
        tuple[Any, ...],
        Key(
            "arms to try first; fields left out come from lora.* and train.learning_rate; a search over methods wants a field method. "
            "[] for ranks 8, 16 and 32, or the usual recipe of each method",
            example="[{r: 8, alpha_ratio: 2, dropout: 0.05, targets: q_v, learning_rate: 1e-3}]",
        ),
    ] = ()
    space: Annotated[SpaceKeys, Key("values that the search chooses from")] = field(default_factory=SpaceKeys)


@dataclass(frozen=True, slots=True)
class CertifyKeys(Declaration):
    """`certify.*`"""

    ladder: Annotated[
        tuple[Any, ...],
        Key(
            "ranks that the verdict compares: two or more, ascending; or arms of any method, [{method: lora, r: 8}, {method: full}], "
            "ordered by certify.cost (docs/verdict.md)",
            RANK,
            kind="list of whole numbers, or of arms",
        ),
    ] = LADDER
    ladder_by: Annotated[str, LADDER_BY] = "cut"
    enabled: Annotated[bool, Key("end with a verdict; certify=none turns it off")] = True
    first_look: Annotated[
        int, Key("seeds per rank before the first verdict; looking too early lowers the power of later looks", SEEDS)
    ] = 3
    rate_trials: Annotated[
        int,
        Key(
            "trials that tune the learning rate per rank, besides those of the search with the same recipe; of a ladder of arms for each "
            "of them",
            Limit(1, 1000),
        ),
    ] = 6


@dataclass(frozen=True, slots=True)
class EngineKeys:
    """`engine.*`"""

    name: Annotated[str, Key("what trains; choose it with engine=NAME", choices=("packed", "trainer"))]
    slots: Annotated[
        Any,
        Key(
            "trials that a worker trains side by side, or auto: as many as are fastest and fit into memory",
            Limit(1, 1024),
            example="4",
            kind=COUNT_OR_AUTO,
        ),
    ] = 1
    measure_slots: Annotated[
        bool,
        Key(
            "engine.slots=auto on a GPU: time a step with 1, 2, 4, ... trials side by side when a study begins, for about ten seconds; "
            "false: as many as fit"
        ),
    ] = True


@dataclass(frozen=True, slots=True)
class ExecutorKeys:
    """`executor.*`"""

    name: Annotated[str, Key("where workers run; choose it with executor=NAME", choices=("local",))]
    workers: Annotated[
        Any,
        Key(
            "worker processes, or auto: one for each visible GPU; two on a CPU with two cores or more (docs/engine.md)",
            example="2",
            kind=COUNT_OR_AUTO,
        ),
    ] = AUTO
    threads: Annotated[int | None, Key("CPU threads per worker; null: cores / workers", Limit(1, 4096))] = None


@dataclass(frozen=True, slots=True)
class TrackingKeys:
    """`tracking.*`"""

    uri: Annotated[
        str | None, Key("MLflow tracking URI; null for mlruns/mlflow.db", example="http://127.0.0.1:5000")
    ] = None
    system_metrics: Annotated[
        bool, Key("MLflow samples processors, memory, disk, network and GPUs every ten seconds while the sweep runs")
    ] = False


@dataclass(frozen=True, slots=True)
class StorageKeys:
    """`storage.*`"""

    url: Annotated[
        str | None, Key("Optuna storage URL; null for mlruns/optuna.db", example="postgresql://user@host/optuna")
    ] = None


@dataclass(frozen=True, slots=True)
class BudgetKeys:
    """`budget.*`"""

    wall_clock: Annotated[
        Any,
        Key(
            "time limit: no trial starts that would end later; null for no limit",
            example="1h30m",
            kind="a time, or null",
        ),
    ] = None
    memory: Annotated[
        Any,
        Key(
            "memory limit per worker: a trial that needs more is infeasible; null for the machine's",
            example="4GiB",
            kind="a size, or null",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    study: Annotated[StudyKeys, Key("the study's name")]
    model: Annotated[BaseModel, Key("the base model; model=NAME chooses one")]
    task: Annotated[TaskData, Key("the data and the task metric; task=NAME chooses one")]
    method: Annotated[MethodKeys, Key("how the model is adapted; method=NAME chooses one (docs/methods.md)")]
    quant: Annotated[Quantization, Key("quantization of the base model; quant=NAME chooses one")]
    engine: Annotated[EngineKeys, Key("what trains the adapters; engine=NAME chooses one")]
    executor: Annotated[ExecutorKeys, Key("worker processes and their threads")]
    lora: Annotated[LoraKeys, Key("the adapter of a single trial, and of the first arms of a search")]
    train: Annotated[TrainKeys, Key("the training recipe, the same for every arm")]
    evaluate: Annotated[EvaluationSettings, Key("how much is evaluated, and how answers are made")]
    search: Annotated[SearchKeys, Key("the search over arms")]
    certify: Annotated[CertifyKeys, Key("what the verdict is about; certify=none for a search without a verdict")]
    tracking: Annotated[TrackingKeys, Key("MLflow")]
    storage: Annotated[StorageKeys, Key("Optuna's storage")]
    budget: Annotated[BudgetKeys, Key("limits of time and memory")]
    device: Annotated[
        str,
        Key(
            "where workers train; cuda is NVIDIA and AMD GPUs, auto those that are visible to PyTorch, else the CPU; Intel's (xpu) and "
            "Apple's (mps) only if they are asked for",
            choices=CHOICES,
            example="cpu",
        ),
    ] = AUTO
    seed: Annotated[
        # certify seeds count up from it, and random generators take 32 bits
        int, Key("random seed; certify uses the seeds that follow", Limit(0, 2**32 - 1 - MOST_SEEDS))
    ] = 0
    dry_run: Annotated[bool, Key("print the plan and end; trains and writes nothing", example="true")] = False
