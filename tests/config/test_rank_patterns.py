"""`lora.rank_pattern`, `lora.alpha_pattern` and `lora.layers` in the configuration: what they reach, and all mistakes at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.config.load import plan_of_record
from sweep.config.rank_patterns import check_patterns, pattern_problems
from sweep.config.schema import LoraKeys
from sweep.errors import ConfigurationError
from sweep.records import Stage, TrialSpec, arm_from_json, to_json
from sweep.search.space import arm_of, point_of
from sweep.store.identity import certification_identity, study_identity
from sweep.study.checks import check_loaded
from sweep.tracking.names import params_of
from tests.study.test_checks import LOADED

PATTERN = r"lora.rank_pattern={layers.0.*.q_proj: 4, down_proj: 16}"
MODULES = tuple(
    f"model.layers.{layer}.{part}"
    for layer in (0, 1, 2)
    for part in ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
)


def problems(*words: str, searches: bool = True) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(list(words), searches=searches)
    return list(caught.value.problems)


def test_they_reach_the_arm_and_its_records() -> None:
    plan = composed_plan([PATTERN, "lora.alpha_pattern.v_proj=12", "lora.layers=[0,20-22]"], searches=False)
    assert plan.arm.rank_pattern == (("layers.0.*.q_proj", 4), ("down_proj", 16))
    assert (plan.arm.alpha_pattern, plan.arm.layers) == ((("v_proj", 12.0),), (0, 20, 21, 22))
    assert plan_of_record(plan.config).arm == plan.arm
    assert arm_from_json(json.loads(json.dumps(to_json(plan.arm)))) == plan.arm
    point = arm_of({**point_of(plan.arm, plan.space), "log2_r": 2}, plan.arm)
    assert point == replace(plan.arm, rank=4), "a searched rank is that of the other modules"
    spec = TrialSpec("id", "s", Stage.SINGLE, plan.arm, plan.training, 0)
    assert spec.name == "r16-pattern-layers0,20-22-lr3e-03-s0"
    shown = params_of(spec)
    assert shown["lora.rank_pattern"] == "{layers.0.*.q_proj: 4, down_proj: 16}"
    assert (shown["lora.alpha_pattern"], shown["lora.layers"]) == ("{v_proj: 12}", "0,20-22")


def test_each_is_another_study_and_another_certification_and_none_changes_nothing() -> None:
    plain = composed_plan([])
    others: list[dict[str, object]] = [
        {},
        {"rank_pattern": (("v_proj", 4),)},
        {"alpha_pattern": (("v_proj", 4.0),)},
        {"layers": (0, 3)},
    ]
    plans = [replace(plain, arm=replace(plain.arm, **fields)) for fields in others]  # type: ignore[arg-type]
    assert len({study_identity(plan, "data") for plan in plans}) == 4
    assert len({certification_identity(plan.arm) for plan in plans}) == 4
    assert not {"rank_pattern", "alpha_pattern", "layers"} & {*to_json(plans[0].arm), *plans[0].config.split(": ")}
    assert "rank_pattern" not in plans[0].config


def test_arms_of_a_ladder_have_them_and_are_named_by_them() -> None:
    ladder = r"[{method: lora, r: 8}, {method: lora, r: 8, rank_pattern: {down_proj: 16}, layers: 15-29}, {method: dora, layers: [1,2]}]"
    declared = composed_plan([f"certify.ladder={ladder}", "lora.targets=all_linear"]).declaration
    assert [arm.words for arm in declared.arms] == [
        "LoRA at rank 8",
        "LoRA at rank 8 (down_proj rank 16, layers 15-29)",
        "DoRA at rank 16 (layers 1,2)",
    ]
    assert declared.arms[1].arm.layers == tuple(range(15, 30))
    found = problems(
        r"certify.ladder=[{method: lora, r: 8, rank_pattern: {\(: 4, q: 0}}, {method: lora, layers: x, alpha_pattern: 3}, "
        "{method: vera, layers: 3}]"
    )
    text = "\n".join(found)
    assert "arm 1: rank_pattern=" in text
    assert "every value must be from 1 to 4096" in text
    assert "arm 2: alpha_pattern=3: write values by pattern" in text
    assert "arm 3: method=vera has no field 'layers'" in text
    found = problems(r"certify.ladder=[{method: lora, r: 8, rank_pattern: {\(: 4}, layers: x}, {method: lora, r: 4}]")
    assert [each.partition(": ")[2][:24] for each in found] == ["arm 1: rank_pattern: '('", "arm 1: layers: 'x' is no"]


def test_mistakes_that_are_seen_without_the_model_come_together() -> None:
    found = problems(r"lora.rank_pattern={\(: 4, down_proj: 0}", "lora.alpha_pattern={q_proj: -1}", "lora.layers=5-3")
    assert [each.partition(":")[0] for each in found] == [
        "lora.rank_pattern={down_proj",
        "lora.alpha_pattern={q_proj",
        "lora.rank_pattern",
        "lora.layers",
    ]
    assert "from 1 to 4096" in found[0]
    assert "is no regular expression" in found[2]
    assert problems("lora.rank_pattern={q_proj: few}")[0].endswith("must be a whole number")


def test_names_in_quotes_are_shown_without() -> None:
    (found,) = problems('lora.rank_pattern={"layers.(0|1).q_proj": 4, down_proj: 16}')
    assert found.endswith(
        r"write the names in braces without quotes: 'lora.rank_pattern={layers.\(0|1\).q_proj: 4, down_proj: 16}'"
    )
    fixed = found.rpartition("quotes: ")[2].strip("'")
    assert composed_plan([fixed]).arm.rank_pattern[0] == ("layers.(0|1).q_proj", 4)
    assert "with dots in braces" in problems("lora.rank_pattern.layers.q_proj=4")[0]


@pytest.mark.parametrize(
    "key",
    ["lora.rank_pattern.q_proj=4", "lora.layers=3"],
)
def test_other_methods_have_none(key: str) -> None:
    (found,) = problems("method=vera", key, searches=False)
    assert "method=vera has no" in found
    assert "(dora, lora, lora_plus, rslora, rslora_plus)" in found


def test_what_an_initialization_refuses() -> None:
    for init, patterns, wrong in (
        ("pissa", {"rank_pattern": {"q_proj": 4}}, "stored with twice the rank"),
        ("olora", {"alpha_pattern": {"q_proj": 4.0}}, "stored with twice the rank"),
        ("orthogonal", {"rank_pattern": {"q_proj": 3}}, "needs even ranks, and it has 3"),
    ):
        (found,) = pattern_problems(LoraKeys(init=init, **patterns))  # type: ignore[arg-type]
        assert wrong in found
    assert not list(pattern_problems(LoraKeys(init="pissa", layers="0-3")))
    assert not list(pattern_problems(LoraKeys(init="eva", rank_pattern={"q_proj": 3})))


def test_a_pattern_has_to_match_a_target_module_and_layers_to_exist() -> None:
    arm = replace(
        composed_plan([]).arm,
        rank_pattern=(("downproj", 4), ("layers.0.*.q_proj", 2), ("model.layers.0.self_attn.q_proj", 3)),
        alpha_pattern=(("down_proj", 4.0),),
        layers=(0, 7, 9),
    )
    found = list(check_patterns(arm, [("q_proj", "v_proj")], MODULES))
    assert [each.partition(":")[0] for each in found] == [
        "lora.layers=0,7,9",
        "lora.rank_pattern",
        "lora.rank_pattern",
        "lora.alpha_pattern",
    ]
    assert "the model has no layer 7,9 (it has layers 0 to 2)" in found[0]
    assert "'downproj' matches the name of no target module" in found[1]
    assert "'model.layers.0.self_attn.q_proj' has no effect: an earlier pattern" in found[2]
    # of the sets that a search tries, one with the module is enough
    apart = replace(arm, rank_pattern=(), layers=())
    assert not list(check_patterns(apart, [("q_proj",), ("down_proj",)], MODULES))


def test_ranks_without_effect_are_refused() -> None:
    arm = replace(composed_plan([]).arm, rank_pattern=((".*_proj", 4),))
    (found,) = check_patterns(arm, [("q_proj",)], MODULES, ranks={"search.space.rank": (4,), "certify.ladder": (2, 8)})
    assert "certify.ladder=[2, 8] would all be the same adapter" in found
    assert not list(check_patterns(arm, [("q_proj",)], MODULES, ranks={"search.space.rank": (4,)}))


def test_they_are_checked_once_the_base_is_loaded(made_task: Path) -> None:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy", "search.space.targets=[q_v]"]
    plan = composed_plan([*words, "lora.rank_pattern={down_proj: 4}", "lora.layers=4"])
    with pytest.raises(ConfigurationError) as caught:
        check_loaded(plan, LOADED, (), searched=True)
    assert len(caught.value.problems) == 2
    check_loaded(composed_plan([*words, "lora.rank_pattern={q_proj: 4}", "lora.layers=0"]), LOADED, (), searched=True)
