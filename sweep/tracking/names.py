"""The names of MLflow tags, metrics and params, and their values for a record.

Pure functions. Trackers use no other names, so a run reads the same in every store.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.records import Arm, Quantization, Status, Training, TrialResult, TrialSpec
from sweep.records.arm import DEFAULT_INIT
from sweep.records.layers import layer_ranges
from sweep.tracking.accepted import LONGEST_PARAM as LONGEST_PARAM
from sweep.tracking.accepted import LONGEST_TAG as LONGEST_TAG
from sweep.tracking.accepted import shortened as shortened
from sweep.tracking.accepted import valid_name as valid_name

STUDY = "sweep.study"
STAGE = "sweep.stage"
RANK = "sweep.rank"
TRIAL = "sweep.trial"
STATUS = "sweep.status"
SPLIT = "sweep.split"
METHOD = "sweep.method"
SEED = "sweep.seed"
REASON = "sweep.reason"
COMMAND = "sweep.command"
PEAK_OF = "sweep.memory_peak_of"
LEFT_OUT = "sweep.left_out"
RUN = "sweep.run"
"""The provisional id of a trial's run (`sweep.tracking.port.provisional_id`)."""
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
"""What MLflow shows as a run's description."""

VERDICT = "sweep.verdict"
VERDICT_RANK = "sweep.verdict.rank"
VERDICT_BRACKET = "sweep.verdict.bracket"
VERDICT_HEADLINE = "sweep.verdict.headline"
VERDICT_FINDINGS = "sweep.verdict.findings"
VERDICT_MARGIN_OF = "sweep.verdict.margin_of"
VERDICT_LADDER_BY = "sweep.verdict.ladder_by"

CHAMPION_VERSION = "sweep.champion.version"
"""Of a version of a registered model: its number in the history of the study's champion. Of a refresh's run: what is in use after it."""
CHAMPION_EVENT = "sweep.champion.event"
CHAMPION_REASON = "sweep.champion.reason"
CHAMPION_SINCE = "sweep.champion.since"
CHAMPION_MARGIN = "sweep.champion.margin"
CHAMPION_RECIPE = "sweep.champion.recipe"
BASE_HASH, DATA_HASH = "sweep.base_hash", "sweep.data_hash"

RUNNING = "running"
"""The value of `sweep.status` until a run is closed."""

RUN_STATUS: Mapping[Status, str] = {
    Status.COMPLETE: "FINISHED",
    Status.PRUNED: "KILLED",
    Status.FAILED: "FAILED",
    Status.INFEASIBLE: "FAILED",
    Status.INTERRUPTED: "KILLED",
}
"""MLflow's status of an ended run."""

OPEN = "RUNNING"
"""MLflow's status of a run that has not ended."""

CONFIG_FILE = "config.yaml"

TRAIN_LOSS = "train/loss"
LEARNING_RATE = "train/learning_rate"
REPORT_LOSS = "eval/report_loss"
RANK_METRIC = "rank"
"""The rank once more: MLflow sorts tags and params as text, metrics as numbers."""
PEAK_RATE = "train/peak_learning_rate"
LADDER = "ladder/"
"""Before the names of what the parent run has of each rank, with the rank as step."""
TABLES = ("changed_answers.json",)
"""Files in the format of MLflow's tables, which its page shows as such."""
LOGGED_TABLES = "mlflow.loggedArtifacts"

_CUT_FROM = "lora.cut_from"
_LORAPLUS_RATIO = "method.loraplus_lr_ratio"
_QUANT, _DOUBLE_QUANT = "quant.name", "quant.double_quant"

_MEASURED = {
    "eval/loss": "loss",
    "eval/perplexity": "perplexity",
    "eval/bits_per_byte": "bits_per_byte",
    "eval/examples": "examples",
    "eval/tokens": "tokens",
    "memory/peak_bytes": "peak_bytes",
    "memory/peak_above_base_bytes": "peak_above_base_bytes",
    "memory/base_bytes": "base_bytes",
    "adapter/bytes": "adapter_bytes",
    "adapter/trainable_parameters": "trainable_parameters",
    "adapter/trainable_fraction": "trainable_fraction",
    "time/train_seconds": "train_seconds",
    "time/eval_seconds": "eval_seconds",
    "throughput/tokens_per_second": "tokens_per_second",
    "adapter/energy_kept": "energy_kept",
    "train/final_loss": "train_loss",
    "train/kept_step": "kept_step",
    "forgetting/general_loss": "general_loss",
    "forgetting/loss_delta": "forgetting_loss_delta",
    "forgetting/loss_delta_low": "forgetting_low",
    "forgetting/loss_delta_high": "forgetting_high",
    "forgetting/general_accuracy": "general_accuracy",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric at an optimizer step."""

    metric: str
    value: float
    step: int


def metrics_of(result: TrialResult) -> dict[str, float]:
    """The measures of a trial by metric name, in the units of `Measures`; without those that are None or not finite.

    Loss, perplexity, bits per byte and task metrics have two names: under `eval/`, and under the split that the trial was evaluated on, so
    that tune, certify and test are columns of their own.
    """
    values: dict[str, float | None] = {}
    if result.seconds > 0:
        values["time/total_seconds"] = result.seconds
    if (measures := result.measures) is not None:
        values |= {f"time/phase/{phase}": seconds for phase, seconds in measures.phases.items()}
        values |= {f"eval/{metric}": value for metric, value in measures.metrics.items()}
        split = result.spec.split.value
        values |= {f"{split}/{metric}": value for metric, value in measures.metrics.items()}
        values |= {f"{split}/nearest_example/{metric}": value for metric, value in measures.nearest.items()}
        # last, so that no task metric can overwrite one of these
        values |= {name: getattr(measures, attribute) for name, attribute in _MEASURED.items()}
        values |= {
            f"{split}/loss": measures.loss,
            f"{split}/perplexity": measures.perplexity,
            f"{split}/bits_per_byte": measures.bits_per_byte,
        }
    return finite(values)


def started_with(spec: TrialSpec) -> dict[str, float]:
    """What is known of a trial before it is trained, as numbers by which runs can be sorted; the unadapted base has rank 0."""
    if spec.arm is None:
        return {RANK_METRIC: 0.0}
    ranked = {RANK_METRIC: float(spec.arm.rank)} if spec.arm.rank else {}
    return finite({**ranked, PEAK_RATE: spec.arm.learning_rate})


def points_of(result: TrialResult) -> list[Point]:
    """The trial's finite values by step: training loss, learning rate, and the loss reported to the pruner."""
    return [point for point in _points(result) if math.isfinite(point.value)]


def _points(result: TrialResult) -> Iterator[Point]:
    for entry in result.history:
        yield Point(TRAIN_LOSS, float(entry.loss), entry.step)
        yield Point(LEARNING_RATE, float(entry.learning_rate), entry.step)
    for report in result.reports:
        yield Point(REPORT_LOSS, float(report.loss), report.step)


def summary_points(metrics: Mapping[str, float], series: Iterable[Point]) -> list[Point]:
    """What the parent run of a sweep has at its end: single values at step 0, and series, without what is not finite."""
    single = [Point(name, value, 0) for name, value in finite(metrics).items()]
    by_step = [Point(valid_name(each.metric), each.value, each.step) for each in series if math.isfinite(each.value)]
    return [*single, *by_step]


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """The values that MLflow can store, under names it accepts: no None, NaN or infinity."""
    return {
        valid_name(name): float(value) for name, value in values.items() if value is not None and math.isfinite(value)
    }


def params_of(spec: TrialSpec) -> dict[str, str]:
    """The trial's own recipe by configuration key; the unadapted base has no `lora.*` and no learning rate."""
    training = spec.training
    params = {
        "seed": _text(spec.seed),
        "method": spec.arm.method if spec.arm else "base",
        "train.steps": _text(training.steps),
        "train.batch_size": _text(training.batch_size),
        "train.gradient_accumulation": _text(training.gradient_accumulation),
        "train.schedule": training.schedule,
        "train.warmup_fraction": _text(training.warmup_fraction),
        "train.weight_decay": _text(training.weight_decay),
        "train.max_grad_norm": _text(training.max_grad_norm),
        "train.gradient_checkpointing": _text(training.gradient_checkpointing),
    }
    if arm := spec.arm:
        params |= _against_forgetting(training) | _of_arm(arm)
        if arm.cut_from is not None:
            params[_CUT_FROM] = _text(arm.cut_from)
        if arm.loraplus_lr_ratio != 1:
            params[_LORAPLUS_RATIO] = _text(arm.loraplus_lr_ratio)
    return params


def _against_forgetting(training: Training) -> dict[str, str]:
    """Replay, decay and early stopping, where they are used."""
    names = ["replay", "decay_to_base", "early_stopping", *(["patience"] if training.early_stopping else [])]
    return {f"train.{name}": _text(value) for name in names if (value := getattr(training, name))}


def _of_arm(arm: Arm) -> dict[str, str]:
    """What the arm's method has of LoRA's parameters, its own, and the learning rate."""
    params: dict[str, str] = {}
    if arm.rank:
        params["lora.r"] = _text(arm.rank)
    if arm.alpha:
        params |= {"lora.alpha_ratio": _text(arm.alpha_ratio), "lora.alpha": _text(arm.alpha)}
    if arm.rank:
        params["lora.dropout"] = _text(arm.dropout)
    if arm.targets:
        params["lora.targets"] = ",".join(arm.targets)
    if arm.init != DEFAULT_INIT:
        params["lora.init"] = arm.init
    for name, patterns in (("rank_pattern", arm.rank_pattern), ("alpha_pattern", arm.alpha_pattern)):
        if patterns:
            params[f"lora.{name}"] = f"{{{', '.join(f'{pattern}: {value:g}' for pattern, value in patterns)}}}"
    if arm.layers:
        params["lora.layers"] = layer_ranges(arm.layers)
    own = {f"method.{name}": value if isinstance(value, str) else _text(value) for name, value in arm.own}
    return {**params, **own, "train.learning_rate": _text(arm.learning_rate)}


def is_of_arm(key: str) -> bool:
    """Whether a key of the configuration is one of an arm's, so that trials of a study may differ in it."""
    return key == "train.learning_rate" or (key.startswith(("lora.", "method.")) and key != "method.name")


def trial_params(shared: Mapping[str, str], spec: TrialSpec) -> dict[str, str]:
    """The complete recipe of a trial.

    Args:
        shared: what all trials of the sweep have in common (model, task, quantization, ...), by configuration key.
            The trial's own recipe takes precedence.
    """
    # the configuration's own arm is a default, which does not apply to the unadapted base
    kept = {key: value for key, value in shared.items() if not is_of_arm(key)}
    return valid_params(kept | _of_own_base(shared, spec.arm) | params_of(spec))


def _of_own_base(shared: Mapping[str, str], arm: Arm | None) -> dict[str, str]:
    """How the base is quantized that an arm has for itself; nothing if it is the one that the trials share."""
    if arm is None or arm.quant is None:
        return {}
    of_study = Quantization(shared.get(_QUANT, arm.quant), double_quant=shared.get(_DOUBLE_QUANT) == _text(True))
    own = of_study.named(arm.quant)
    return {_QUANT: own.name, _DOUBLE_QUANT: _text(own.double_quant)}


def valid_params(params: Mapping[str, str]) -> dict[str, str]:
    """The params under names and with values that MLflow accepts."""
    return {valid_name(key): shortened(value, LONGEST_PARAM) for key, value in params.items()}


def sweep_tags(study: str, command: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a parent run at its start; the caller's `tags` cannot replace the fixed ones."""
    return valid_tags({**tags, STUDY: study, STATUS: RUNNING, COMMAND: command})


def trial_tags(parent: str, spec: TrialSpec) -> dict[str, str]:
    """The tags of a child run at its start."""
    return valid_tags(
        {
            PARENT: parent,
            STUDY: spec.study,
            STAGE: spec.stage.value,
            RANK: str(spec.rank),
            SPLIT: spec.split.value,
            METHOD: spec.arm.method if spec.arm else "base",
            TRIAL: spec.identity,
            STATUS: RUNNING,
            SEED: str(spec.seed),
        }
    )


def closing_tags(result: TrialResult) -> dict[str, str]:
    """The tags of a trial's status, reason and provenance."""
    tags = {STATUS: result.status.value}
    if result.reason:
        tags[REASON] = result.reason
    if result.measures is not None:
        tags[PEAK_OF] = result.measures.peak_of
    if (origin := result.provenance) is not None:
        tags |= {
            "sweep.device": origin.device,
            "sweep.base_source": origin.base_source,
            BASE_HASH: origin.base_hash,
            DATA_HASH: origin.data_hash,
            "sweep.threads": str(origin.threads),
        }
        if origin.compute:
            tags["sweep.compute"] = origin.compute
        tags |= {f"sweep.version.{package}": version for package, version in origin.versions.items()}
    return valid_tags(tags)


def table_tags(files: Iterable[Path]) -> dict[str, str]:
    """The tag with which MLflow's page finds tables among a run's files; none without one."""
    tables = [{"path": file.name, "type": "table"} for file in files if file.name in TABLES]
    return {LOGGED_TABLES: json.dumps(tables)} if tables else {}


def valid_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags under names and with values that MLflow accepts."""
    return {valid_name(key): shortened(value, LONGEST_TAG) for key, value in tags.items()}


def latest(points: Iterable[Point]) -> dict[str, float]:
    """The value of each metric at its last step, which MLflow shows as the metric's value."""
    values: dict[str, Point] = {}
    for point in points:
        if point.metric not in values or point.step >= values[point.metric].step:
            values[point.metric] = point
    return {metric: point.value for metric, point in values.items()}


def _text(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
