"""`plan --measure`: short trials of the study's own, which later plans know their seconds from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.measuring import EXAMPLES, STEPS, measured_arms, short_plan
from sweep.records import StudyPlan
from tests.faults.in_process import run_here

WORDS = ("study.name=short", "model=tiny", "task=jsonl", "task.metric=exact_match", "train.steps=20", "quant=none")
SMALL = ("executor.workers=1", "executor.threads=1", "evaluate.examples=6", "evaluate.general_paragraphs=1")


def plan(made_task: Path, *overrides: str) -> StudyPlan:
    return composed_plan([*WORDS, f"task.path={made_task}", *overrides])


def test_all_but_steps_and_examples_is_as_in_the_study(made_task: Path) -> None:
    known = plan(made_task, "train.early_stopping=5", "train.batch_size=3")
    short = short_plan(known)
    assert (short.training.steps, short.training.early_stopping, short.training.batch_size) == (STEPS, 0, 3)
    assert short.setup.scoring.examples == EXAMPLES
    assert (short.arm, short.setup.model, short.setup.quant) == (known.arm, known.setup.model, known.setup.quant)


def test_each_arm_is_measured_once_and_a_recipe_as_often_as_it_runs_at_a_time(made_task: Path) -> None:
    assert len(measured_arms(plan(made_task, "executor.workers=2", "executor.threads=1"))) == 4
    ladder = "certify.ladder=[{method: ia3, targets: q_v}, {method: lora, r: 4}, {method: lora, r: 8}]"
    assert [arm.method for arm in measured_arms(plan(made_task, ladder))] == ["ia3", "lora", "lora"]


@pytest.mark.slow
def test_a_measurement_is_kept_for_later_plans(made_task: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    words = [*WORDS, *SMALL, f"task.path={made_task}"]
    code, printed = run_here("sweep.plan", [*words, "--measure"], home)
    assert code == 0, printed
    assert f"Measured 2 trainings of {STEPS} steps in " in printed
    assert "From 2 trainings recorded here, and tokens counted by the base's tokenizer." in printed
    stored = list((home / "mlruns" / "calibration" / "trials").glob("*/*/result.json"))
    assert len(stored) == 2
    assert {json.loads(file.read_text())["spec"]["training"]["steps"] for file in stored} == {STEPS}
    assert not (home / "mlruns" / "trials").exists()
    assert not (home / "mlruns" / "optuna.db").exists()
    again, printed = run_here("sweep.plan", words, home)
    assert again == 0, printed
    assert "From 2 trainings recorded here" in printed
    assert "Trainable parameters" in printed
    assert printed.endswith("Nothing was trained or written.\n")
