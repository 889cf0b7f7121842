"""`search.space.method`: each method as in a study of its own, and all problems at once, with what to write instead."""

from __future__ import annotations

import pytest

from sweep.commands.app import composed_plan
from sweep.config.load import plan_of_record
from sweep.config.method_values import method_values
from sweep.errors import ConfigurationError
from sweep.methods import methods
from sweep.records import StudyPlan

OVER = ("search.space.method=[lora,dora,prompt_tuning]", "certify=none")


def problems(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(overrides)
    return caught.value.problems


def rates(plan: StudyPlan) -> dict[str, tuple[float, float]]:
    return {each.name: each.space.learning_rate for each in plan.methods}


@pytest.mark.parametrize("name", methods())
def test_a_method_is_searched_as_in_a_study_of_its_own(name: str) -> None:
    other = "lora" if name != "lora" else "rslora"
    alone = composed_plan([f"method={name}", "certify=none", "quant=none"])
    both = composed_plan([f"search.space.method=[{other},{name}]", "certify=none", "quant=none"])
    assert (both.methods[1].arm, both.methods[1].space) == (alone.arm, alone.space)
    assert both.setup.quant.compute == alone.setup.quant.compute or name != "full"
    assert plan_of_record(both.config) == both


@pytest.mark.parametrize("name", methods())
def test_values_that_a_method_brings_along_are_those_of_its_file(name: str) -> None:
    with_it = composed_plan([f"method={name}", "certify=none", "quant=none"])
    values = method_values(name)
    assert values.get("train.learning_rate", 3e-3) == with_it.arm.learning_rate
    assert "method.name" not in values
    assert ("method.loraplus_lr_ratio" in values) == (with_it.arm.loraplus_lr_ratio != 1)


def test_a_study_of_one_method_is_as_it_was() -> None:
    plan = composed_plan([])
    assert (plan.methods, plan.searched[0].arm, plan.searched[0].space) == ((), plan.arm, plan.space)
    assert " learning_rates:" not in plan.config


def test_values_that_are_given_are_fixed_and_ranges_apply_where_a_method_has_none() -> None:
    plan = composed_plan([*OVER, "method.tokens=8", "search.space.learning_rate.high=5e-3", "search.space.rank=[4,8]"])
    assert rates(plan) == {"lora": (1e-3, 5e-3), "dora": (1e-3, 5e-3), "prompt_tuning": (1e-2, 3e-1)}
    assert plan.methods[0].space.ranks == plan.methods[1].space.ranks == (4, 8)
    prompt = plan.methods[2]
    assert (dict(prompt.arm.own)["tokens"], prompt.space.own) == (8, ())


@pytest.mark.parametrize("word", ["{prompt_tuning: [1e-3, 1e-2]}", "{prompt_tuning:[1e-3,1e-2]}"])
def test_a_range_can_be_given_to_one_method(word: str) -> None:
    plan = composed_plan([*OVER, f"search.space.learning_rates={word}"])
    assert rates(plan) == {"lora": (1e-3, 1e-2), "dora": (1e-3, 1e-2), "prompt_tuning": (1e-3, 1e-2)}
    assert rates(composed_plan([*OVER, "search.space.learning_rates.dora=[1e-3,2e-3]"]))["dora"] == (1e-3, 2e-3)
    assert plan_of_record(plan.config) == plan


def test_a_record_of_another_version_s_method_is_refused_in_words() -> None:
    recorded = composed_plan(OVER).config.replace("prompt_tuning", "telepathy")
    with pytest.raises(ConfigurationError, match="there is no method 'telepathy'"):
        plan_of_record(recorded)


def test_a_single_trial_takes_no_notice() -> None:
    plan = composed_plan(["search.space.method=[lora,ia3]", "lora.r=4"], searches=False)
    assert (plan.methods, plan.arm.method) == ((), "lora")


def test_packed_methods_are_packed_and_one_note_names_the_others() -> None:
    plan = composed_plan([*OVER, "engine.slots=4"])
    (note,) = plan.notes
    assert (plan.setup.engine, plan.slots) == ("packed", 4)
    assert all(name in note for name in ("method=dora", "engine=trainer trains"))
    assert "method=lora " not in note
    none_packed = composed_plan(["search.space.method=[dora,vera]", "certify=none", "engine.slots=4"])
    assert (none_packed.setup.engine, none_packed.slots) == ("trainer", 1)
    assert composed_plan([*OVER, "engine=trainer"]).notes == ()


def test_all_problems_of_the_list_are_reported_at_once() -> None:
    found = problems(
        *("search.space.method=[lora,lora,dorra,full]", "search.trials=2", "sampler=gp", "method.hidden=64"),
        "search.space.learning_rates={vera: [1e-3,1e-2], lora: [1e-2,1e-3], full: [1e-3]}",
    )
    parts = (
        ("there is no method 'dorra'; did you mean 'dora'?", ""),
        ("a method is repeated", "write each once"),
        ("it ends without a verdict", "write certify=none"),
        ("search.sampler=gp: cannot search over methods", "write sampler=tpe"),
        ("search.trials=2: each of the 3 methods", "write search.trials=12"),
        ("search.space.learning_rates.vera: is not in", "searched: lora, lora, dorra, full"),
        ("search.space.learning_rates.lora=[0.01, 0.001]: the lowest", ""),
        ("search.space.learning_rates.full=[0.001]: write the lowest and the highest", ""),
        ("method.hidden=64: no method of", "p_tuning"),
        (
            "method=full cannot be combined with quant=nf4: quantized weights",
            "write quant=none, which all of them take",
        ),
    )
    for start, instead in parts:
        assert any(start in problem and instead in problem for problem in found), (start, found)
    assert len(found) == len(parts)


@pytest.mark.parametrize(
    ("words", "says", "instead"),
    [
        (["search.space.method=[dora]"], "needs two or more", "write method=dora"),
        ([OVER[0], "method=rslora"], "each method brings its own learning rates", "leave method=rslora out"),
        ([OVER[0], "sampler=nsga2"], "crosses only parameters that every trial has", "sampler=tpe"),
        ([OVER[0], "sampler=qmc"], "spreads only parameters that every trial has", "sampler=random"),
        (
            ["search.space.method=[dora,prompt_tuning]", "quant=int8"],
            "method=dora cannot be combined with quant=int8: PEFT cannot take the norm",
            "write quant=nf4, which all of them take, or leave dora out",
        ),
        (
            ["search.space.method=[full,loha]", "quant=none", "quant.compute=bfloat16"],
            "quant.compute=bfloat16: bfloat16 rounds",
            "or leave full out",
        ),
        (
            ["search.space.method=[lora,prefix_tuning]", "train.gradient_checkpointing=true"],
            "drops the cache",
            "write train.gradient_checkpointing=auto, or leave prefix_tuning out",
        ),
        (
            ["search.space.method=[prompt_tuning,p_tuning]", "lora.r=8"],
            "lora.r: no method of",
            "has rank; leave it out",
        ),
        (
            ["search.space.method=[prompt_tuning,full]", "quant=none", "train.learning_rate=1e-3"],
            "every method of search.space.method that has it brings its own value along (prompt_tuning, full)",
            "",
        ),
        (
            ["search.space.method=[prompt_tuning,p_tuning]", "search.space.learning_rate.low=1e-3"],
            "brings its own value along",
            "write search.space.learning_rates={prompt_tuning: [LOW, HIGH]}",
        ),
        ([OVER[0], "search.arms=[{r: 8}]"], "the method is missing", "write {method: lora, ...}"),
        ([OVER[0], "search.arms=[{method: vera, r: 8}]"], "method=vera is not in search.space.method", ""),
        ([OVER[0], "search.arms=[{method: prompt_tuning, r: 8}]"], "there is no field 'r'", "tokens"),
        ([OVER[0], "search.arms=[{method: prompt_tuning, learning_rate: 1e-3}]"], "is outside", "0.01 to 0.3"),
        (
            ["search.arms=[{method: dora, r: 8}]"],
            "method=dora, in a study of method=lora",
            "search.space.method=[lora,dora]",
        ),
        (
            ["search.space.learning_rates={lora: [1e-3,1e-2]}"],
            "is for a search over methods",
            "search.space.learning_rate",
        ),
    ],
)
def test_what_cannot_be_searched_together(words: list[str], says: str, instead: str) -> None:
    (problem,) = problems(*words, "certify=none")
    assert says in problem
    assert instead in problem


def test_arms_name_their_method() -> None:
    plan = composed_plan([*OVER, "search.arms=[{method: prompt_tuning, tokens: 4}, {method: dora, r: 8}]"])
    prompt, dora = plan.search.arms
    assert (prompt.method, dict(prompt.own)["tokens"], prompt.learning_rate) == ("prompt_tuning", 4, 3e-2)
    assert (dora.method, dora.rank, dora.learning_rate) == ("dora", 8, 3e-3)
    assert composed_plan(["search.arms=[{method: lora, r: 8}]"]).search.arms[0].rank == 8
