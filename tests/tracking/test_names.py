"""MLflow's words: nothing it would refuse ever comes out, and nothing that was measured is lost."""

from __future__ import annotations

import dataclasses
import math

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

from sweep.records import Arm, Measures, Report, Stage, Status, StepLoss, Training, TrialResult, TrialSpec
from sweep.tracking import names

ARM = Arm(rank=8, alpha_ratio=2.0, dropout=0.05, targets=("q_proj", "v_proj"), learning_rate=1e-3)
SPEC = TrialSpec("abc", "pharma", Stage.EXPLORE, ARM, Training(steps=100, batch_size=4), seed=3)
BASE = TrialSpec("def", "pharma", Stage.BASE, None, Training(steps=100, batch_size=4), seed=0)

numbers = st.floats(allow_nan=True, allow_infinity=True)
counts = st.integers(min_value=0, max_value=2**62)
words = st.text(max_size=300)
step_losses = st.builds(StepLoss, step=st.integers(0, 10**6), loss=numbers, learning_rate=numbers)
reports = st.builds(Report, step=st.integers(0, 10**6), loss=numbers)
measures = st.builds(
    Measures,
    loss=numbers,
    metrics=st.dictionaries(words, numbers, max_size=4),
    examples=counts,
    tokens=counts,
    peak_bytes=counts,
    peak_above_base_bytes=counts,
    base_bytes=counts,
    adapter_bytes=counts,
    trainable_parameters=counts,
    trainable_fraction=numbers,
    train_seconds=numbers,
    eval_seconds=numbers,
    tokens_per_second=numbers,
    train_loss=st.none() | numbers,
    general_loss=st.none() | numbers,
    forgetting_loss_delta=st.none() | numbers,
    forgetting_low=st.none() | numbers,
    forgetting_high=st.none() | numbers,
    phases=st.dictionaries(words, numbers, max_size=4),
)
results = st.builds(
    TrialResult,
    spec=st.just(SPEC),
    status=st.sampled_from(Status),
    reason=st.none() | words,
    measures=st.none() | measures,
    history=st.lists(step_losses, max_size=5).map(tuple),
    reports=st.lists(reports, max_size=5).map(tuple),
    started=st.just(0.0),
    seconds=numbers,
    provenance=st.none(),
)


@given(results)
def test_mlflow_accepts_every_value(result: TrialResult) -> None:
    values = names.metrics_of(result)
    points = names.points_of(result)
    assert all(math.isfinite(value) for value in values.values())
    assert all(math.isfinite(point.value) for point in points)
    for name, value in values.items():
        _validate_metric(name, value, 0, 0)
    for point in points:
        _validate_metric(point.metric, point.value, 0, point.step)
    for key, value in names.closing_tags(result).items():
        _validate_tag(key, value)
        value.encode()


@given(st.lists(st.text(alphabet=st.characters(), max_size=400), unique=True, max_size=6))
def test_names_are_valid_distinct_and_stable(texts: list[str]) -> None:
    made = [names.valid_name(text) for text in texts]
    for name in made:
        _validate_param(name, "value")
        assert names.valid_name(name) == name
    assert len(set(made)) == len(texts)


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(1, 40))
def test_shortened_texts_fit_and_can_be_stored(text: str, longest: int) -> None:
    short = names.shortened(text, longest)
    assert len(short) <= longest
    assert "\0" not in short
    short.encode("utf-8")


def test_a_plain_name_stays_unchanged() -> None:
    for name in ("eval/macro_f1", "lora.r", "time/phase/train", "eval/f1/adverse event", "eval/f1/größe"):
        assert names.valid_name(name) == name


def test_similar_kinds_have_distinct_names() -> None:
    metrics = names.finite({"eval/f1/a:b": 0.1, "eval/f1/a?b": 0.2, "eval/f1/a_b": 0.3})
    assert sorted(metrics.values()) == [0.1, 0.2, 0.3]


def test_a_task_metric_cannot_overwrite_a_measure(complete: TrialResult) -> None:
    assert complete.measures
    measures = dataclasses.replace(complete.measures, metrics={"loss": 99.0})
    assert names.metrics_of(dataclasses.replace(complete, measures=measures))["eval/loss"] == complete.measures.loss


def test_the_names_of_the_contract_exist(complete: TrialResult) -> None:
    values = set(names.metrics_of(complete)) | {point.metric for point in names.points_of(complete)}
    assert values >= {
        "train/loss",
        "train/learning_rate",
        "eval/loss",
        "eval/report_loss",
        "eval/perplexity",
        "eval/bits_per_byte",
        "tune/bits_per_byte",
        "eval/macro_f1",
        "eval/macro_f1/rare",
        "memory/peak_bytes",
        "memory/peak_above_base_bytes",
        "memory/base_bytes",
        "adapter/bytes",
        "adapter/trainable_parameters",
        "adapter/trainable_fraction",
        "time/train_seconds",
        "time/eval_seconds",
        "time/total_seconds",
        "time/phase/attach",
        "throughput/tokens_per_second",
        "forgetting/loss_delta",
    }


def test_what_was_not_measured_has_no_name(complete: TrialResult) -> None:
    assert complete.measures
    measures = dataclasses.replace(complete.measures, forgetting_loss_delta=None, general_loss=None, train_loss=None)
    values = names.metrics_of(dataclasses.replace(complete, measures=measures))
    assert not [name for name in values if name.startswith("forgetting/")]
    assert "train/final_loss" not in values
    assert names.metrics_of(TrialResult(SPEC, Status.FAILED, "broke")) == {}


def test_params_are_the_whole_recipe_by_configuration_key() -> None:
    assert names.params_of(SPEC) == {
        "lora.r": "8",
        "lora.alpha_ratio": "2.0",
        "lora.alpha": "16.0",
        "lora.dropout": "0.05",
        "lora.targets": "q_proj,v_proj",
        "train.learning_rate": "0.001",
        "method": "lora",
        "seed": "3",
        "train.steps": "100",
        "train.batch_size": "4",
        "train.gradient_accumulation": "1",
        "train.schedule": "linear",
        "train.warmup_fraction": "0.1",
        "train.weight_decay": "0.0",
        "train.max_grad_norm": "1.0",
        "train.gradient_checkpointing": "auto",
    }


def test_the_ratio_of_rates_is_a_param_of_lora_plus_alone() -> None:
    ratio = "method.loraplus_lr_ratio"
    plus = dataclasses.replace(SPEC, arm=dataclasses.replace(ARM, method="lora_plus", loraplus_lr_ratio=8.0))
    shared = {"method.name": "lora_plus", ratio: "16"}
    assert names.trial_params(shared, plus)[ratio] == "8.0"
    assert names.trial_params(shared, plus)["method"] == "lora_plus"
    assert ratio not in names.trial_params(shared, BASE)
    assert ratio not in names.params_of(SPEC)


def test_the_trials_arm_replaces_the_configured_one() -> None:
    shared = {"model": "tiny", "quant": "nf4", "lora.r": "64", "lora.alpha_ratio": "1.0", "train.learning_rate": "9"}
    assert names.trial_params(shared, SPEC)["lora.r"] == "8"
    base = names.trial_params(shared, BASE)
    assert base["model"] == "tiny"
    assert base["method"] == "base"
    assert not {key for key in base if key.startswith("lora.") or key == "train.learning_rate"}


def test_the_base_of_the_trials_arm_replaces_the_shared_one() -> None:
    shared = {"quant.name": "none", "quant.double_quant": "false"}
    own = dataclasses.replace(SPEC, arm=dataclasses.replace(ARM, quant="nf4"))
    assert own.name == "r8-nf4-lr1e-03-s3"
    of_own, of_study = names.trial_params(shared, own), names.trial_params(shared, SPEC)
    assert (of_own["quant.name"], of_own["quant.double_quant"]) == ("nf4", "true")
    assert (of_study["quant.name"], of_study["quant.double_quant"]) == ("none", "false")


def test_every_status_has_a_run_status() -> None:
    assert set(names.RUN_STATUS) == set(Status)


def test_the_caller_cannot_replace_a_tag_of_the_contract() -> None:
    tags = names.sweep_tags("pharma", "python -m sweep", {"sweep.study": "other", "team": "x"})
    assert tags["sweep.study"] == "pharma"
    assert tags["team"] == "x"
