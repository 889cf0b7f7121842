"""The typed schema of the configuration: what keys there are and what type each has.

The YAML files under `conf/` hold defaults and comments; a composed configuration is merged into this schema, which
refuses unknown keys and wrong types. The classes are not frozen because OmegaConf cannot override frozen ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class StudyKeys:
    """`study.*`"""

    name: str = MISSING


@dataclass
class ModelKeys:
    """`model.*`, see `sweep.records.BaseModel`."""

    name: str = MISSING
    id: str | None = MISSING
    source: str = "auto"
    path: str | None = None
    revision: str | None = None
    wheel: str | None = None
    wheel_sha256: str | None = None
    trust_remote_code: bool = False
    target_sets: dict[str, list[str]] = field(default_factory=dict)
    linear_modules: list[str] = field(default_factory=list)


@dataclass
class TaskKeys:
    """`task.*`, see `sweep.records.TaskData` and `tasks.hub.load`."""

    name: str = MISSING
    kind: str = MISSING
    metric: str = MISSING
    system_prompt: str | None = None
    tune_fraction: float = 0.5
    max_length: int = 512
    path: str | None = None
    dataset: str | None = None
    subset: str | None = None
    revision: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"
    prompt_column: str = "prompt"
    completion_column: str = "completion"
    label_column: str | None = None
    template: str | None = None


@dataclass
class MethodKeys:
    """`method.*`, see `sweep.records.Arm`; null for methods without such a key."""

    name: str = MISSING
    loraplus_lr_ratio: float | None = None


@dataclass
class EngineKeys:
    """`engine.*`: what trains, and how many trials a worker trains side by side (a number, or `auto`)."""

    name: str = MISSING
    slots: Any = 1


@dataclass
class QuantKeys:
    """`quant.*`, see `sweep.records.Quantization`."""

    name: str = MISSING
    double_quant: bool = True
    cache: str = "auto"


@dataclass
class LoraKeys:
    """`lora.*`, see `sweep.records.Arm`."""

    r: int = 16
    alpha_ratio: float = 2.0
    dropout: float = 0.0
    targets: Any = "q_v"


@dataclass
class TrainKeys:
    """`train.*`, see `sweep.records.Training`."""

    learning_rate: float = 3e-3
    steps: int = 100
    batch_size: int = 4
    gradient_accumulation: int = 1
    schedule: str = "linear"
    warmup_fraction: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False


@dataclass
class EvaluateKeys:
    """`evaluate.*`, see `sweep.records.Scoring`."""

    examples: int = 128
    certify_examples: int = 200
    test_examples: int = 200
    max_new_tokens: int | None = None
    general_paragraphs: int = 8
    answers: str = "auto"


@dataclass
class RateKeys:
    """`search.space.learning_rate.*`: the range, on a log scale."""

    low: float = 1e-3
    high: float = 1e-2


@dataclass
class SpaceKeys:
    """`search.space.*`: what Optuna may choose from."""

    rank: list[int] = field(default_factory=list)
    alpha_ratio: list[float] = field(default_factory=list)
    dropout: list[float] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    learning_rate: RateKeys = field(default_factory=RateKeys)


@dataclass
class SearchKeys:
    """`search.*`, see `sweep.records.Search`."""

    trials: int = 8
    sampler: str = "tpe"
    sampler_options: dict[str, Any] = field(default_factory=dict)
    grid_learning_rates: int = 3
    pruner: str = "none"
    pruner_options: dict[str, Any] = field(default_factory=dict)
    reports: int = 4
    report_examples: int = 32
    max_failures: int = 5
    arms: list[Any] = field(default_factory=list)
    space: SpaceKeys = field(default_factory=SpaceKeys)


@dataclass
class CertifyKeys:
    """`certify.*`: what the verdict is about."""

    enabled: bool = True
    ladder: list[int] = field(default_factory=list)
    seeds: int = 5
    first_look: int = 3
    margin: float = 0.02
    margin_of: str = "gain"
    alpha: float = 0.05
    rate_trials: int = 6


@dataclass
class ExecutorKeys:
    """`executor.*`"""

    name: str = MISSING
    workers: Any = "auto"
    threads: int | None = None


@dataclass
class TrackingKeys:
    """`tracking.*`"""

    uri: str | None = None


@dataclass
class StorageKeys:
    """`storage.*`"""

    url: str | None = None


@dataclass
class BudgetKeys:
    """`budget.*`"""

    wall_clock: Any = None
    memory: Any = None


@dataclass
class SweepKeys:
    """The whole configuration."""

    study: StudyKeys = field(default_factory=StudyKeys)
    model: ModelKeys = field(default_factory=ModelKeys)
    task: TaskKeys = field(default_factory=TaskKeys)
    method: MethodKeys = field(default_factory=MethodKeys)
    quant: QuantKeys = field(default_factory=QuantKeys)
    lora: LoraKeys = field(default_factory=LoraKeys)
    train: TrainKeys = field(default_factory=TrainKeys)
    evaluate: EvaluateKeys = field(default_factory=EvaluateKeys)
    seed: int = 0
    search: SearchKeys = field(default_factory=SearchKeys)
    certify: CertifyKeys = field(default_factory=CertifyKeys)
    engine: EngineKeys = field(default_factory=EngineKeys)
    executor: ExecutorKeys = field(default_factory=ExecutorKeys)
    tracking: TrackingKeys = field(default_factory=TrackingKeys)
    storage: StorageKeys = field(default_factory=StorageKeys)
    budget: BudgetKeys = field(default_factory=BudgetKeys)
