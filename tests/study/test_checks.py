"""Checks with the loaded base, before any trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError
from sweep.records import LoadReport, SlotCapacity, StudyPlan
from sweep.study.checks import check_loaded, least_examples, loading_notes

LOADED = LoadReport(
    source="made",
    base_hash="b" * 64,
    base_bytes=100_000_000,
    resident_bytes=600_000_000,
    linear_modules=("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"),
    context=1024,
    parameters=1_000,
    load_seconds=0.1,
    device="cpu",
    data_hash="d" * 64,
    too_long={"train": (), "tune": (), "certify": (3, 5), "test": (1,)},
    examples={"train": 24, "tune": 10, "certify": 12, "test": 11},
)


@pytest.fixture
def plan(made_task: Path) -> StudyPlan:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"]
    return composed_plan([*words, "search.space.targets=[q_v]", "budget.memory=500MB"])


def test_a_memory_budget_below_the_base_is_reported_before_any_trial(plan: StudyPlan) -> None:
    with pytest.raises(ConfigurationError, match=r"budget.memory=500.*600 MB.*at least 780 MB"):
        check_loaded(plan, LOADED, (), searched=True)
    check_loaded(plan, replace(LOADED, resident_bytes=400_000_000), (), searched=True)


def test_examples_left_out_are_counted_on_every_split(plan: StudyPlan) -> None:
    notes = "\n".join(loading_notes(plan, LOADED))
    assert "certify: 2 of 14 examples are longer than 512 tokens and are left out (numbers 3, 5)" in notes
    assert "test: 1 of 12 examples" in notes


def test_a_verdict_needs_examples_and_a_search_alone_does_not(plan: StudyPlan) -> None:
    assert least_examples(plan) == {"certify": 5, "test": 1}
    assert least_examples(replace(plan, certify=False)) == {}


def test_workers_that_share_a_gpu_are_told_how(plan: StudyPlan) -> None:
    def notes(device: str, each: int) -> str:
        setup = replace(plan.setup, device=device, workers_on_device=each)
        return "\n".join(loading_notes(replace(plan, workers=8, setup=setup), LOADED))

    assert (
        "executor.workers=8: up to 4 workers share a GPU, and each may use a share of 1/4 of its memory; "
        "executor.workers=auto takes one for each GPU"
    ) in notes("cuda", 4)
    assert "share" not in notes("cuda", 1) + notes("cpu", 8)


def notes_with(plan: StudyPlan, capacity: SlotCapacity) -> str:
    return "\n".join(loading_notes(plan, replace(LOADED, capacity=capacity)))


def test_a_trial_that_does_not_fit_names_the_keys_that_help(plan: StudyPlan) -> None:
    tight = SlotCapacity(1, 2, 3 * 10**9, 5 * 10**9, 2 * 10**9, checkpointing=True)
    notes = notes_with(plan, tight)
    assert "train.gradient_checkpointing=auto: on" in notes
    assert (
        "These take less: train.batch_size below 4 (with more train.gradient_accumulation), task.max_length below 512, fewer "
        "lora.targets or a larger budget.memory"
    ) in notes
    unquantized = replace(plan.setup, quant=replace(plan.setup.quant, name="none"), memory_budget=None)
    other = replace(
        plan, setup=unquantized, training=replace(plan.training, batch_size=1, gradient_checkpointing=False)
    )
    assert (
        "These take less: engine.slots below 2, train.gradient_checkpointing=true, task.max_length below 512, quant=nf4 or fewer "
        "lora.targets"
    ) in notes_with(other, replace(tight, slots=2, checkpointing=False))


def test_what_was_timed_is_told(plan: StudyPlan) -> None:
    notes = notes_with(plan, SlotCapacity(2, 2, timings={1: 0.5, 2: 0.6, 4: 1.2}))
    assert "engine.slots=auto: 2 trial(s) side by side" in notes
    assert "1: 0.5 s, 2: 0.3 s, 4: 0.3 s" in notes
    assert "engine.slots" not in notes_with(plan, SlotCapacity(2, 2))
