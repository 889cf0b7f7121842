"""Identities count every field that changes the result, and no other field."""

from __future__ import annotations

import dataclasses
from collections.abc import Set
from dataclasses import replace
from typing import Any

import pytest

from sweep.commands.app import composed_plan
from sweep.records import (
    Arm,
    BaseModel,
    EvaluationSettings,
    Provenance,
    Quantization,
    SearchSpace,
    Split,
    Stage,
    Status,
    StudyPlan,
    TaskData,
    Training,
    TrialResult,
    TrialSpec,
    WorkerSetup,
    arm_from_json,
    declaration_from_json,
    to_json,
)
from sweep.store.identity import (
    adapter_identity,
    certification_identity,
    is_current,
    ladder_identity,
    study_identity,
    trial_identity,
)

PLAN = composed_plan([])

UNSEEN = {"report_examples", "certify_examples", "test_examples", "general_questions"}
"""Fields of EvaluationSettings that a trial scored on tune does not see."""
ASKED = {"metric", "system_prompt", "max_length", "too_long"}
"""Fields of TaskData that change a result while the data, which has its own hash, stays."""
ENGINE = {"engine"}


def other(value: Any) -> Any:
    """A value of the same kind that differs."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case None:
            return "x"
        case tuple():
            return (*value, value[-1]) if value else ("x",)
        case dict():
            return {**value, "x": ("x",)}
    return replace(value, **{(first := dataclasses.fields(value)[0].name): other(getattr(value, first))})


def names(record: type, without: Set[str] = frozenset()) -> list[str]:
    return [entry.name for entry in dataclasses.fields(record) if entry.name not in without]


def changed(record: Any, name: str) -> Any:
    return replace(record, **{name: other(getattr(record, name))})


def trial(
    setup: WorkerSetup = PLAN.setup,
    arm: Arm | None = PLAN.arm,
    training: Training = PLAN.training,
    base: str = "base",
    data: str = "data",
    seed: int = 0,
) -> str:
    return trial_identity(setup, base, data, arm, training, seed)


def base(**changes: Any) -> str:
    return trial(arm=None, **changes)


def test_equal_trials_have_the_same_identity() -> None:
    again = composed_plan([])
    assert trial(again.setup, again.arm, again.training) == trial()
    assert len(trial()) == 32


def test_identities_of_earlier_versions_stay() -> None:
    """Plain LoRA keeps the identities that it had when there was no other method."""
    setup = WorkerSetup(
        BaseModel("tiny", "tiny", "made"),
        Quantization(),
        TaskData("boxes", "jsonl", "accuracy"),
        EvaluationSettings(answers="generate"),
        "packed",
        1,
    )
    arm, training = Arm(8, 2.0, 0.05, ("q_proj", "v_proj"), 1e-3), Training(100, 4)
    recorded = {name: value for name, value in to_json(arm).items() if name != "loraplus_lr_ratio"}
    assert arm_from_json(recorded) == arm
    assert trial_identity(setup, "base", "data", arm, training, 3) == "4f401d2502ee4a5a4c492717d420b23f"


def test_auto_checkpointing_has_the_identities_from_before_it_could_be_chosen() -> None:
    """It changes no number. `true` keeps its own, under which trials are stored."""
    auto, off, on = (replace(PLAN.training, gradient_checkpointing=value) for value in ("auto", False, True))
    assert PLAN.training == auto
    assert trial(training=auto) == trial(training=off) != trial(training=on)
    assert adapter(training=auto) == adapter(training=off) != adapter(training=on)
    assert study(replace(PLAN, training=auto)) == study(replace(PLAN, training=off))


@pytest.mark.parametrize("name", names(Arm, {"quant"}))
def test_arm_counts(name: str) -> None:
    assert trial(arm=changed(PLAN.arm, name)) != trial()


@pytest.mark.parametrize("name", names(Training, {"patience"}))
def test_training_counts_for_an_adapter_and_not_for_the_base(name: str) -> None:
    training = changed(PLAN.training, name)
    assert trial(training=training) != trial()
    assert base(training=training) == base()


@pytest.mark.parametrize("name", names(Quantization, {"cache"}))
def test_quantization_counts(name: str) -> None:
    setup = replace(PLAN.setup, quant=changed(PLAN.setup.quant, name))
    assert trial(setup) != trial()
    assert base(setup=setup) != base()


def test_the_type_of_products_counts_and_float32_has_the_identities_from_before_it_could_be_chosen() -> None:
    def of(compute: str) -> tuple[str, ...]:
        setup = replace(PLAN.setup, quant=replace(PLAN.setup.quant, compute=compute))
        return (
            trial(setup),
            base(setup=setup),
            adapter(setup),
            adapter(setup, arm=None),
            study(replace(PLAN, setup=setup)),
        )

    assert of("float32") == of("auto")
    assert all(one != other for one, other in zip(of("bfloat16"), of("float32"), strict=True))


def test_int8_on_a_gpu_is_not_what_it_was_with_llm_int8_s_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(name: str, compute: str) -> tuple[str, ...]:
        setup = replace(PLAN.setup, quant=replace(PLAN.setup.quant, name=name, compute=compute))
        return trial(setup), base(setup=setup), adapter(setup), study(replace(PLAN, setup=setup))

    def former(quant: Quantization) -> dict[str, object]:
        named = {} if quant.compute in ("auto", "float32") else {"compute": quant.compute}
        return {"name": quant.name, "double_quant": quant.double_quant, **named}

    now = {
        (name, compute): of(name, compute) for name in ("int8", "nf4") for compute in ("float32", "bfloat16", "auto")
    }
    monkeypatch.setattr("sweep.store.identity._quantization", former)
    for (name, compute), identities in now.items():
        gpu = name == "int8" and compute != "float32"
        assert all((one != other) is gpu for one, other in zip(identities, of(name, compute), strict=True))


@pytest.mark.parametrize("name", names(EvaluationSettings, UNSEEN))
def test_scoring_counts(name: str) -> None:
    setup = replace(PLAN.setup, scoring=changed(PLAN.setup.scoring, name))
    assert trial(setup) != trial()
    assert base(setup=setup) != base()


def test_the_split_that_a_trial_is_evaluated_on_counts() -> None:
    def on(split: Split, scoring: EvaluationSettings = PLAN.setup.scoring, **asked: object) -> str:
        setup = replace(PLAN.setup, scoring=scoring)
        return trial_identity(setup, "base", "data", PLAN.arm, PLAN.training, 0, split=split, **asked)

    assert len({on(split) for split in Split}) == len(Split)
    for split, name in (
        (Split.CERTIFY, "certify_examples"),
        (Split.TEST, "test_examples"),
        (Split.TEST, "general_questions"),
    ):
        assert on(split, changed(PLAN.setup.scoring, name)) != on(split)
        assert on(Split.TUNE, changed(PLAN.setup.scoring, name)) == on(Split.TUNE)
    assert on(Split.TEST, changed(PLAN.setup.scoring, "trial_questions")) == on(Split.TEST)
    fewer = replace(PLAN.setup.scoring, general_questions=8)
    assert on(Split.TUNE, fewer) == on(Split.TUNE, replace(PLAN.setup.scoring, trial_questions=8))
    assert on(Split.TUNE, answers=False) != on(Split.TUNE)
    assert on(Split.TEST, adapter_of="one") != on(Split.TEST, adapter_of="other")


@pytest.mark.parametrize(
    ("metric", "answers", "same"),
    [("set_f1", "generate", True), ("accuracy", "generate", False), ("set_f1", "likelihood", False)],
)
def test_how_answers_are_made_counts_if_it_changes_them(metric: str, answers: str, same: bool) -> None:
    def by(way: str) -> str:
        task, scoring = (
            replace(PLAN.setup.task, metric=metric),
            replace(PLAN.setup.scoring, answers=way),
        )
        return trial(replace(PLAN.setup, task=task, scoring=scoring))

    assert (by(answers) == by("auto")) is same


def test_a_dequantized_copy_does_not_count() -> None:
    quant = replace(PLAN.setup.quant, cache="never")
    assert trial(replace(PLAN.setup, quant=quant)) == trial()


@pytest.mark.parametrize("name", sorted(ASKED))
def test_fields_that_change_how_data_is_used_count(name: str) -> None:
    setup = replace(PLAN.setup, task=changed(PLAN.setup.task, name))
    assert trial(setup) != trial()
    assert base(setup=setup) != base()


def test_contents_count() -> None:
    assert len({trial(), trial(base="other"), trial(data="other")}) == 3
    assert len({base(), base(base="other"), base(data="other")}) == 3


def test_seed_and_engine_count_for_an_adapter_and_not_for_the_base() -> None:
    setup = changed(PLAN.setup, "engine")
    assert len({trial(), trial(seed=1), trial(setup)}) == 3
    assert base() == base(seed=1) == base(setup=setup)
    assert base() != trial()


@pytest.mark.parametrize("name", names(TaskData, ASKED))
def test_the_path_of_the_data_does_not_count(name: str) -> None:
    assert trial(replace(PLAN.setup, task=changed(PLAN.setup.task, name))) == trial()


@pytest.mark.parametrize("name", names(type(PLAN.setup.model)))
def test_the_name_of_the_model_does_not_count(name: str) -> None:
    assert trial(replace(PLAN.setup, model=changed(PLAN.setup.model, name))) == trial()


@pytest.mark.parametrize("name", names(WorkerSetup, ENGINE | {"model", "quant", "task", "scoring"}))
def test_threads_and_memory_do_not_count(name: str) -> None:
    assert trial(changed(PLAN.setup, name)) == trial()


@pytest.mark.parametrize("name", sorted(UNSEEN))
def test_reports_do_not_count(name: str) -> None:
    assert trial(replace(PLAN.setup, scoring=changed(PLAN.setup.scoring, name))) == trial()


def adapter(
    setup: WorkerSetup = PLAN.setup,
    arm: Arm | None = PLAN.arm,
    training: Training = PLAN.training,
    base: str = "base",
    train: str = "train",
    seed: int = 0,
) -> str:
    return adapter_identity(setup, base, train, arm, training, seed)


@pytest.mark.parametrize("name", names(Arm, {"quant"}))
def test_arm_counts_for_the_adapter(name: str) -> None:
    assert adapter(arm=changed(PLAN.arm, name)) != adapter()


@pytest.mark.parametrize("study_s", ["nf4", "fp4", "int8", "none"])
@pytest.mark.parametrize("own", ["nf4", "int8", "none"])
def test_an_arm_with_its_own_quantization_is_that_of_a_study_with_it(study_s: str, own: str) -> None:
    here, there = (composed_plan([f"quant={name}", "quant.compute=float32"]).setup for name in (study_s, own))
    on_own = replace(PLAN.arm, quant=own)
    assert adapter(here, arm=on_own) == adapter(there)
    assert trial(here, arm=on_own) == trial(there)
    assert (adapter(here, arm=on_own) == adapter(here)) == (study_s == own)
    assert arm_from_json(to_json(on_own)) == on_own
    assert "quant" not in to_json(PLAN.arm)


def test_the_quantization_of_an_arm_makes_another_certification_of_a_ladder_of_arms() -> None:
    words = ["quant=none", "certify.ladder=[{method: lora, r: 2}, {method: lora, r: 4}]"]
    declared = composed_plan(words).declaration
    one, other = declared.arms
    own = declared.with_arms([replace(one, arm=replace(one.arm, quant="nf4")), other])
    assert ladder_identity(own) != ladder_identity(declared)
    assert declaration_from_json(to_json(own)) == own


@pytest.mark.parametrize("name", names(Training, {"patience"}))
def test_training_counts_for_the_adapter_and_not_for_the_base(name: str) -> None:
    training = changed(PLAN.training, name)
    assert adapter(training=training) != adapter()
    assert adapter(arm=None, training=training) == adapter(arm=None)


@pytest.mark.parametrize("name", names(EvaluationSettings))
def test_evaluation_does_not_count_for_the_adapter(name: str) -> None:
    assert adapter(replace(PLAN.setup, scoring=changed(PLAN.setup.scoring, name))) == adapter()


@pytest.mark.parametrize("name", names(TaskData, {"system_prompt", "max_length", "too_long"}))
def test_the_metric_and_the_path_of_the_data_do_not_count_for_the_adapter(name: str) -> None:
    assert adapter(replace(PLAN.setup, task=changed(PLAN.setup.task, name))) == adapter()


@pytest.mark.parametrize("name", ["system_prompt", "max_length", "too_long"])
def test_how_training_examples_are_encoded_counts_for_the_adapter(name: str) -> None:
    assert adapter(replace(PLAN.setup, task=changed(PLAN.setup.task, name))) != adapter()


def test_contents_seed_quantization_and_engine_count_for_the_adapter() -> None:
    quant = replace(PLAN.setup, quant=changed(PLAN.setup.quant, "name"))
    others = [adapter(base="x"), adapter(train="x"), adapter(seed=1), adapter(quant), adapter(arm=None)]
    others.append(adapter(changed(PLAN.setup, "engine")))
    assert len({adapter(), *others}) == len(others) + 1


def test_how_it_is_cut_counts_for_a_cut_adapter_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = replace(PLAN.arm, rank=2, cut_from=PLAN.arm.rank)
    before = [adapter(arm=cut), trial(arm=cut), adapter(arm=cut.parent), trial(arm=cut.parent), study()]
    assert before[2:4] == [adapter(), trial()]
    assert certification_identity(cut) == certification_identity(PLAN.arm)
    monkeypatch.setattr("sweep.store.identity.CUT", "in another way")
    after = [adapter(arm=cut), trial(arm=cut), adapter(arm=cut.parent), trial(arm=cut.parent), study()]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True, True]


def test_a_recorded_trial_is_current_while_it_was_evaluated_as_configured() -> None:
    asked = trial_identity(PLAN.setup, "base", "data", PLAN.arm, PLAN.training, 0)
    spec = TrialSpec(asked, "s", Stage.EXPLORE, PLAN.arm, PLAN.training, 0)
    result = TrialResult(spec, Status.COMPLETE, provenance=Provenance({}, "cpu", "made", "base", "data", 1))
    assert is_current(result, PLAN.setup)
    for scoring in (changed(PLAN.setup.scoring, name) for name in names(EvaluationSettings, UNSEEN)):
        assert not is_current(result, replace(PLAN.setup, scoring=scoring))
    for scoring in (changed(PLAN.setup.scoring, name) for name in UNSEEN):
        assert is_current(result, replace(PLAN.setup, scoring=scoring))
    assert not is_current(result, replace(PLAN.setup, task=changed(PLAN.setup.task, "metric")))


@pytest.mark.parametrize("name", names(EvaluationSettings, {"examples"}))
def test_a_study_continues_with_another_evaluation(name: str) -> None:
    setup = replace(PLAN.setup, scoring=changed(PLAN.setup.scoring, name))
    assert study(replace(PLAN, setup=setup)) == study()


def test_a_study_continues_with_another_metric_but_not_with_other_tune_examples() -> None:
    metric = replace(PLAN.setup, task=changed(PLAN.setup.task, "metric"))
    assert study(replace(PLAN, setup=metric)) == study()
    examples = replace(PLAN.setup, scoring=changed(PLAN.setup.scoring, "examples"))
    assert study(replace(PLAN, setup=examples)) != study()


def study(plan: StudyPlan = PLAN, data: str = "data") -> str:
    return study_identity(plan, data)


@pytest.mark.parametrize("name", names(SearchSpace))
def test_space_makes_another_study(name: str) -> None:
    assert study(replace(PLAN, space=changed(PLAN.space, name))) != study()


@pytest.mark.parametrize("name", ["seed", "training"])
def test_what_all_trials_share_makes_another_study(name: str) -> None:
    assert study(changed(PLAN, name)) != study()
    assert study(data="other") != study()


def test_another_method_makes_another_study_and_certification() -> None:
    words = [[], ["method=rslora"], ["method=lora_plus"], ["method=rslora_plus"]]
    plans = [composed_plan(each) for each in [*words, ["method=lora_plus", "method.loraplus_lr_ratio=8"]]]
    assert len({study(plan) for plan in plans}) == len(plans)
    assert len({trial(arm=plan.arm) for plan in plans}) == len(plans)
    assert len({certification_identity(plan.arm) for plan in plans}) == len(plans)


@pytest.mark.parametrize("name", ["id", "revision"])
def test_another_model_makes_another_study(name: str) -> None:
    setup = replace(PLAN.setup, model=changed(PLAN.setup.model, name))
    assert study(replace(PLAN, setup=setup)) != study()


def test_a_model_in_a_folder_is_what_the_folder_holds() -> None:
    here, there = (
        replace(PLAN, setup=replace(PLAN.setup, model=replace(PLAN.setup.model, path=path))) for path in ("/a", "/b")
    )
    assert study_identity(here, "data", "weights") == study_identity(there, "data", "weights")
    assert study_identity(here, "data", "weights") != study_identity(here, "data", "others")
    assert study_identity(PLAN, "data", "weights") == study_identity(PLAN, "data")


@pytest.mark.parametrize(
    "overrides",
    [
        ["search.trials=40"],
        ["sampler=random"],
        ["search.arms=[{r: 4}]"],
        ["pruner=median"],
        ["search.reports=9", "search.report_examples=9", "search.max_failures=9"],
        ["executor.workers=2", "executor.threads=1"],
        ["budget.wall_clock=1h", "budget.memory=64GiB"],
        ["tracking.uri=memory://", "storage.url=sqlite:///other.db"],
        ["certify.seeds=9"],
        ["lora.r=4"],
        ["study.name=other"],
    ],
    ids=" ".join,
)
def test_a_study_continues_with(overrides: list[str]) -> None:
    assert study(composed_plan(overrides)) == study()


def test_patience_counts_with_early_stopping_alone() -> None:
    stopping = replace(PLAN.training, early_stopping=8)
    patient = replace(PLAN.training, patience=5)
    assert adapter(training=patient) == adapter()
    assert len({adapter(training=stopping), adapter(training=replace(stopping, patience=5)), adapter()}) == 3
