"""One trial: its specification and its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sweep.records.arm import Arm
from sweep.records.evaluation import EvaluationSettings
from sweep.records.layers import layer_ranges
from sweep.records.training import Training


class Status(StrEnum):
    """How a trial can end; there is no other way."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    INTERRUPTED = "interrupted"


class Stage(StrEnum):
    """The part of a study that a trial belongs to."""

    BASE = "base"
    EXPLORE = "explore"
    RATES = "rates"
    CERTIFY = "certify"
    CONFIRM = "confirm"
    FINAL = "final"
    SINGLE = "single"
    PROMOTION = "promotion"
    """The champion and a challenger, compared on certify examples of data that have changed; no trial of a ladder."""


class Split(StrEnum):
    """The data that a trial is evaluated on; apart from the training data, a trial sees no other."""

    TUNE = "tune"
    CERTIFY = "certify"
    TEST = "test"


MAY_SEE: Mapping[Stage, tuple[Split, ...]] = {
    Stage.BASE: (Split.TUNE, Split.CERTIFY, Split.TEST),  # nothing is chosen by the scores of the base
    Stage.EXPLORE: (Split.TUNE,),
    Stage.RATES: (Split.TUNE,),
    Stage.SINGLE: (Split.TUNE,),
    Stage.CERTIFY: (Split.CERTIFY,),
    Stage.CONFIRM: (Split.CERTIFY,),
    Stage.FINAL: (Split.TEST,),
    Stage.PROMOTION: (Split.CERTIFY,),
}
"""The splits that each stage may be evaluated on. Choices are made on tune, the verdict on certify; test comes last."""

MAY_STOP_BY = Split.TUNE
"""The split that early stopping looks at, in every stage. It chooses the number of steps, and choices are made on tune alone: a certify
trial is trained on the training data, stopped by tune, and evaluated on certify, which none of that has seen."""

STOPPING_EXAMPLES = 64
"""Examples of each look, the first ones of the split; whatever a trial is evaluated on, its looks are the same."""


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial: one arm with one seed.

    Attributes:
        identity: hash of every field that changes the result (`sweep.store.identity`); the same question has the same one.
        arm: the recipe, or None for the unadapted base.
        report_every: steps between reports to the pruner; 0 for never.
        split: what the trial is evaluated on.
        answers: whether the model also writes answers, for the task metric; without them only losses are measured.
        adapter_of: identity of the certify trial whose adapter is evaluated on test, or None. The adapter is trained again only if
            it is missing.
        examples: maximum number of examples of the split; None for the number in `WorkerSetup.scoring`.
        adapter: identity of what is evaluated: of the trained adapter (`sweep.store.identity.adapter_identity`), or of the unadapted
            base. An adapter in the store under this identity is not trained again. Empty in records of earlier versions.

    Raises:
        ValueError: the stage may not see that split.
    """

    identity: str
    study: str
    stage: Stage
    arm: Arm | None
    training: Training
    seed: int
    report_every: int = 0
    split: Split = Split.TUNE
    answers: bool = True
    adapter_of: str | None = None
    adapter: str = ""
    examples: int | None = None

    def __post_init__(self) -> None:
        if self.split not in MAY_SEE[self.stage]:
            raise ValueError(f"the {self.stage.value} stage may not be evaluated on {self.split.value}")

    @property
    def rank(self) -> int:
        """The arm's rank, 0 for the unadapted base."""
        return self.arm.rank if self.arm else 0

    @property
    def adapter_id(self) -> str:
        """Identity of the adapter that is evaluated, or of the base; in records of earlier versions that of its trial."""
        return self.adapter or self.adapter_of or self.identity

    @property
    def name(self) -> str:
        """The MLflow run name, for example `r16-lr1e-03-s0`, or `r4of32-lr1e-03-s0` if cut; trials on test say so.

        Methods other than LoRA's four variants come first, with the whole numbers among their own parameters, for example
        `prompt_tuning-tokens16-lr3e-02-s0`. Ranks or alphas of single modules, and layers, follow the rank: `r8-pattern-layers15-29-...`; a
        quantization that is not the study's comes before the rate (`r8-nf4-lr1e-03-s0`).
        """
        if self.arm is None:
            return "base" if self.split is Split.TUNE else f"base-{self.split.value}"
        of = f"of{self.arm.cut_from}" if self.arm.cut_from is not None else ""
        parts = [] if self.arm.method in _NAMED_BY_RANK else [self.arm.method]
        parts += [f"r{self.arm.rank}{of}"] if self.arm.rank else []
        parts += ["pattern"] if self.arm.rank_pattern or self.arm.alpha_pattern else []
        parts += [f"layers{layer_ranges(self.arm.layers)}"] if self.arm.layers else []
        parts += [f"{name}{value}" for name, value in self.arm.own if type(value) is int]
        parts += [self.arm.quant] if self.arm.quant is not None else []
        name = "-".join([*parts, f"lr{_short(self.arm.learning_rate)}", f"s{self.seed}"])
        return f"{name}-{self.split.value}" if self.split is Split.TEST else name


_NAMED_BY_RANK = ("lora", "rslora", "lora_plus", "rslora_plus")
"""Methods whose runs are named by rank and rate alone, as they were when there were no others."""


def _short(rate: float) -> str:
    """`1e-03` for round rates, `1.37e-03` for others."""
    text = f"{rate:.2e}"
    mantissa, exponent = text.split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The training loss (nats per completion token) of one optimizer step, and the learning rate used."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Report:
    """A value reported to the pruner: the loss on a part of tune after `step` steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured in a complete trial. Bytes and seconds throughout; losses in nats per completion token.

    Attributes:
        loss: mean loss over the completion tokens of the examples.
        metrics: the task metric by name, and by `name/kind` if examples have kinds; empty if no answers were written.
        nearest: of the bare base, the same for the answers of the nearest training examples (`tasks.nearest`), which need no model; empty
            for adapters, and in older records.
        shares: on certify and test, what each example adds to the task metric, which is their mean (`tasks.scoring.shares`); empty where
            no answers were written, and in older records.
        nearest_shares: likewise of the nearest training examples' answers.
        bits_per_byte: the same losses in bits per byte of the expected completions, which compares models with different tokenizers;
            None in older records.
        peak_bytes: CPU: resident peak of the worker; GPU: most memory allocated. See `peak_of`.
        peak_above_base_bytes: the same, above what was resident with the base loaded.
        base_bytes: bytes that hold the base's parameters, quantization constants included.
        adapter_bytes: size of the adapter's weights on disk; 0 for the base.
        train_loss: mean training loss over the last tenth of the steps; None for the base.
        forgetting_loss_delta: loss on general prose minus the base's, nats per token; None if it was not measured.
        forgetting_low, forgetting_high: its 95 % interval over paragraphs, see `sweep.evaluation.forgetting`; None with fewer than two, and
            in older records.
        prose_rises: for each paragraph of general prose, in their order, how much its loss rose over the base's (nats, summed over its
            tokens) and the number of its tokens; empty for the base, and in older records.
        general_right: for each general question (`tasks/general`), in their order, whether it was answered right; empty in older
            records, which have it on test alone.
        general_of_kind: whether an answer was right if it was the most likely of its kind; older records compared it with all.
        phases: seconds by part of the trial, for example `train`, `score`, `answer`, `save`.
        kinds: number of examples of each kind; empty if examples have no kinds, and in older records.
        energy_kept: of a cut adapter, the share of the update's squared Frobenius norm that the cut keeps, over all modules; else None.
        module_ranks: of a method that spreads its rank over the target modules, the rank that each ended with, by the module's name in
            the base; empty where all have the arm's.
        kept_step: with early stopping, the step whose weights were kept; the last of the training losses is the step where training
            ended. None without early stopping.
        peak_of: which phase the peak covers: `training`; `probe`, a training step on the longest batch without the dequantized
            copy that speeds up the rest; or `evaluation` if nothing was trained.
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
    peak_of: str = "training"
    kinds: Mapping[str, int] = field(default_factory=dict)
    energy_kept: float | None = None
    bits_per_byte: float | None = None
    module_ranks: Mapping[str, int] = field(default_factory=dict)
    forgetting_low: float | None = None
    forgetting_high: float | None = None
    general_right: Sequence[bool] = ()
    kept_step: int | None = None
    prose_rises: Sequence[tuple[float, int]] = ()
    general_of_kind: bool = False
    nearest: Mapping[str, float] = field(default_factory=dict)
    shares: Sequence[float] = ()
    nearest_shares: Sequence[float] = ()

    @property
    def general_accuracy(self) -> float | None:
        """Share of the general questions that were answered right; None if none were asked."""
        return sum(self.general_right) / len(self.general_right) if self.general_right else None

    @property
    def perplexity(self) -> float:
        """exp(loss): the perplexity of a completion token."""
        return math.exp(min(self.loss, 700.0))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from: versions, device, and the hashes of data and base.

    Attributes:
        process: id of the worker's process; None in records of earlier versions.
        compute: the type in which products with the frozen base were computed; empty in records of earlier versions.
    """

    versions: Mapping[str, str]
    device: str
    base_source: str
    base_hash: str
    data_hash: str
    threads: int
    process: int | None = None
    compute: str = ""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a trial.

    Attributes:
        status: how it ended.
        reason: why, for every status but complete; for example `diverged: the loss was nan at step 12`.
        measures: what was measured; None unless complete.
        history: training loss by step, up to the end of the training.
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


def loss_of(result: TrialResult) -> float:
    """The loss of a complete trial; infinity for any other."""
    return result.measures.loss if result.measures is not None else math.inf


def examples_of(scoring: EvaluationSettings, split: Split) -> int | None:
    """Maximum number of examples of the split that are evaluated; None on certify until a study has settled it."""
    return {
        Split.TUNE: scoring.examples,
        Split.CERTIFY: scoring.certify_examples,
        Split.TEST: scoring.test_examples,
    }[split]


def questions_of(scoring: EvaluationSettings, split: Split) -> int:
    """Number of general questions that are asked."""
    return scoring.general_questions if split is Split.TEST else min(scoring.general_questions, scoring.trial_questions)
