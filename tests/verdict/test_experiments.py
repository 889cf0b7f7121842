"""The experiments that follow from findings are commands that compose, and ask what they say."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Arm, Rung, StudyPlan, StudyRecord
from sweep.verdict import experiments
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Experiment
from tests.conftest import certified_record
from tests.verdict.arm_ladders import arms_record
from tests.verdict.test_limits import overfitted

SETS = {
    "q_v": ("q_proj", "v_proj"),
    "all_linear": ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
}
RANKS = "python -m sweep +study=quick quant=nf4 quant.double_quant=false search.trials=4 certify.confirm=true train.epochs=2"
ARMS = "python -m sweep +study=pharma_methods study.name=mine certify.rate_trials=1"


def of(record: StudyRecord, command: str) -> StudyRecord:
    return replace(record, command=command, target_sets=SETS)


def following(record: StudyRecord, kind: str) -> Experiment:
    conclusion = conclude(record)
    assert conclusion is not None
    (finding,) = (finding for finding in conclusion.findings if finding.kind == kind)
    assert finding.next is not None
    return finding.next


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def composed(experiment: Experiment) -> StudyPlan:
    words = shlex.split(experiment.command)
    assert words[:3] == ["python", "-m", "sweep"]
    return composed_plan(words[3:])


def arms(plan: StudyPlan) -> list[Arm]:
    return [rung.of.arm for rung in plan.declaration.ladder if isinstance(rung, Rung)]


def test_far_from_full() -> None:
    plan = composed(following(of(arms_record((0.9, 0.52, 0.5, 0.3)), ARMS), "far_from_full"))
    assert plan.name == "made-wider"
    assert [(arm.method, arm.rank, len(arm.targets)) for arm in arms(plan)] == [
        ("lora", 8, 2),
        ("lora", 8, 7),
        ("lora", 32, 7),
        ("full", 0, 0),
    ]
    # what was trained is found again: its arms are the same ones
    assert arms(plan)[0] == arms_record((0.9, 0.52, 0.5, 0.3)).declaration.arms[2].arm


def test_an_arm_is_written_as_it_is() -> None:
    words = (
        "{method: lora, r: 8, quant: nf4, layers: [3-5], alpha_pattern: {v_proj: 3.5}, "
        "rank_pattern: {'layers.*.q_proj': 4}}".replace("'", "")
    )
    plan = composed_plan(["quant=none", f"certify.ladder=[{words}, {{method: full}}]"])
    (patterned, _) = arms(plan)
    assert (patterned.quant, patterned.layers) == ("nf4", (3, 4, 5))
    again = composed_plan(
        ["quant=none", f"certify.ladder=[{experiments.ladder_entry(patterned, SETS)}, {{method: full}}]"]
    )
    assert arms(again)[0] == patterned


def test_still_improving_with_the_rank_of_arms() -> None:
    plan = composed(following(of(arms_record((0.9, 0.8, 0.7, 0.3)), ARMS), "still_improving"))
    assert max(arm.rank for arm in arms(plan)) == 32
    without = composed(following(of(arms_record((0.9, 0.8, 0.7)), ARMS), "still_improving"))
    assert {arm.method for arm in arms(without)} == {"lora"}


def test_a_larger_rank_is_one_more_step_of_the_ladder() -> None:
    record = of(certified_record({2: 0.6, 4: 0.45, 8: 0.30}), RANKS)
    assert composed(following(record, "still_improving")).declaration.ladder == (2, 4, 8, 16)


@pytest.mark.parametrize("command", [RANKS, "python -m sweep task=pharma certify=train lora.dropout=0.1"])
def test_full_fine_tuning_beside_the_largest_rank(command: str) -> None:
    plan = composed(following(of(certified_record({2: 0.6, 4: 0.45, 8: 0.30}), command), "full_not_tried"))
    assert [(arm.method, arm.rank) for arm in arms(plan)] == [("lora", 8), ("full", 0)]
    assert (plan.name, plan.setup.quant.name) == ("made-full", "none")


def test_full_fine_tuning_beside_all_arms() -> None:
    plan = composed(following(of(arms_record((0.9, 0.8, 0.7)), ARMS), "full_not_tried"))
    assert [arm.method for arm in arms(plan)] == ["prompt_tuning", "lora", "lora", "full"]


def test_one_pass_and_twice_as_long() -> None:
    record = of(overfitted(certified_record(dict.fromkeys((2, 4, 8), 3.0))), RANKS)
    plan = composed(following(record, "data_too_small"))
    assert (plan.training.steps, plan.epochs) == (25, None)
    for base, command in ((certified_record(base_loss=0.25), RANKS), (arms_record((4.1, 4.2, 4.05, 4.1)), ARMS)):
        plan = composed(following(of(base, command), "base_as_good"))
        assert (plan.name, plan.training.steps) == ("made-longer", 200)


def test_longer_training_where_nothing_wider_is_left() -> None:
    record = arms_record((0.9, 0.52, 0.5, 0.3))
    certification = record.certification
    assert certification is not None
    wide = Arm(128, 2.0, 0.05, SETS["all_linear"], 0.0)
    best = Rung(3, replace(certification.declared.arms[2], arm=wide))
    experiment = experiments.wider(of(record, ARMS), certification, best)
    plan = composed(experiment)
    assert (plan.name, plan.training.steps, [arm.method for arm in arms(plan)]) == (
        "made-longer",
        200,
        ["lora", "full"],
    )
    assert "trains twice as long (200 steps)" in experiment.purpose


@pytest.mark.parametrize(
    "arm",
    [
        Arm(8, 2.0, 0.05, ("k_proj", "q_proj"), 0.0, "lora_plus", loraplus_lr_ratio=4.0),
        Arm(4, 1.0, 0.0, SETS["all_linear"], 0.0, "dora"),
        Arm(0, 0.0, 0.0, (), 0.0, "prompt_tuning", own=(("tokens", 8), ("init", "vocabulary"))),
    ],
)
def test_an_arm_stays_the_same(arm: Arm) -> None:
    record = arms_record((0.9, 0.8, 0.7))
    certification = record.certification
    assert certification is not None
    declared = replace(certification.declared, arms=(replace(certification.declared.arms[0], arm=arm),))
    experiment = experiments.with_full(of(record, ARMS), replace(certification, declared=declared))
    assert experiment is not None
    assert arms(composed(experiment))[0] == arm


def test_sections_of_keys_are_left_out() -> None:
    command = experiments.with_values(
        "python -m sweep quant=nf4 quant.cache=never quantity=1 a.b=2", {"a.b": "3"}, ("quant.",)
    )
    assert command == "python -m sweep quant=nf4 quantity=1 a.b=3"
