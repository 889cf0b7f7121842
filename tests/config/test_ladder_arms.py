"""Ladders of arms: what an entry may say, and all mistakes at once."""

from __future__ import annotations

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError
from sweep.records import Rung

LADDER = "[{method: prompt_tuning, tokens: 16}, {method: lora, r: 2}, {method: lora, r: 8}, {method: full}]"


def problems(*words: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(list(words))
    return list(caught.value.problems)


def test_the_arms_in_the_order_written_each_with_the_rates_of_its_method() -> None:
    plan = composed_plan(["quant=none", f"certify.ladder={LADDER}"])
    declared = plan.declaration
    assert [str(rung) for rung in declared.ladder] == [
        "prompt tuning (16 tokens)",
        "LoRA at rank 2",
        "LoRA at rank 8",
        "full fine-tuning",
    ]
    assert all(isinstance(rung, Rung) for rung in declared.ladder)
    assert [arm.learning_rate for arm in declared.arms] == [3e-2, 3e-3, 3e-3, 1e-4]
    assert [arm.rates for arm in declared.arms] == [(1e-2, 3e-1), (1e-3, 1e-2), (1e-3, 1e-2), (1e-5, 3e-4)]
    assert (declared.ladder_by, declared.cut_from, plan.search.trials) == ("train", None, 0)
    assert plan.setup.engine == "trainer"
    assert plan.setup.quant.compute == "float32"
    assert "so that their seconds and memory compare" in plan.notes[0]


def test_arms_that_all_can_be_packed_are() -> None:
    plan = composed_plan(["certify.ladder=[{method: lora, r: 2}, {method: rslora, r: 8}]"])
    assert (plan.setup.engine, plan.notes) == ("packed", ())


def test_names_say_in_what_arms_differ() -> None:
    ladder = (
        "[{method: lora, r: 2}, {method: lora, r: 2, targets: all_linear}, {method: lora, r: 2, alpha_ratio: 4},"
        "{method: prompt_tuning}, {method: prompt_tuning, init: random}, {method: vera}, {method: lora_plus, loraplus_lr_ratio: 4}]"
    )
    arms = composed_plan([f"certify.ladder={ladder}"]).declaration.arms
    assert [arm.words for arm in arms] == [
        "LoRA at rank 2 (on q_v, alpha 4)",
        "LoRA at rank 2 (on all_linear, alpha 4)",
        "LoRA at rank 2 (on q_v, alpha 8)",
        "prompt tuning (16 tokens, init vocabulary)",
        "prompt tuning (16 tokens, init random)",
        "VeRA at rank 256",
        "LoRA+ at rank 16",
    ]


def test_the_own_method_of_the_study_keeps_what_the_command_line_says() -> None:
    words = [
        "method=dora",
        "train.learning_rate=5e-3",
        "lora.r=4",
        "certify.ladder=[{method: dora}, {method: ia3}, {method: lora}]",
    ]
    dora, ia3, lora = composed_plan(words).declaration.arms
    assert (dora.arm.rank, dora.learning_rate) == (4, 5e-3)
    assert ia3.learning_rate == 1e-2
    assert (lora.arm.rank, lora.learning_rate) == (4, 5e-3)


def test_another_method_does_not_take_the_rates_that_the_own_one_brings_along() -> None:
    words = ["method=full", "quant=none", "certify.ladder=[{method: lora, r: 2}, {method: full, learning_rate: 1e-3}]"]
    lora, full = composed_plan(words).declaration.arms
    assert (lora.learning_rate, lora.rates) == (3e-3, (1e-3, 1e-2))
    assert (full.learning_rate, full.rates) == (1e-3, (1e-5, 1e-3))


def test_an_arm_may_have_a_quantization_of_its_own() -> None:
    ladder = (
        "[{method: lora, r: 8, quant: nf4}, {method: lora, r: 8, quant: fp4}, {method: lora, r: 8}, {method: prompt_tuning, quant: int8},"
        "{method: lora, r: 8, quant: nf4, alpha_ratio: 4}, {method: full, quant: none}]"
    )
    plan = composed_plan(["quant=none", f"certify.ladder={ladder}"])
    arms = plan.declaration.arms
    assert [arm.words for arm in arms] == [
        "LoRA at rank 8 on nf4 (alpha 16)",
        "LoRA at rank 8 on fp4",
        "LoRA at rank 8",
        "prompt tuning on int8 (16 tokens)",
        "LoRA at rank 8 on nf4 (alpha 32)",
        "full fine-tuning",
    ]
    assert [arm.arm.quant for arm in arms] == ["nf4", "fp4", None, "int8", "nf4", None]
    # as in studies with these quantizations
    for arm in arms:
        named = arm.arm.quant or "none"
        assert plan.setup.quant_of(arm.arm) == composed_plan([f"quant={named}", "quant.compute=float32"]).setup.quant


def test_on_a_quantized_base_an_arm_may_have_the_weights_as_they_are() -> None:
    ladder = "certify.ladder=[{method: lora, r: 8, quant: nf4}, {method: lora, r: 8, quant: none}, {method: full, quant: none}]"
    plan = composed_plan([ladder, "quant.double_quant=false"])
    assert [(arm.words, arm.arm.quant) for arm in plan.declaration.arms] == [
        ("LoRA at rank 8", None),
        ("LoRA at rank 8 on the unquantized base", "none"),
        ("full fine-tuning on the unquantized base", "none"),
    ]
    assert not plan.setup.quant_of(plan.declaration.arms[0].arm).double_quant


def test_all_mistakes_of_quantizations_in_one_message() -> None:
    ladder = (
        "[{method: full}, {method: lora, quant: nf5}, {method: dora, quant: int8}, {method: lokr, quant: none}, {method: ia3, qant: fp4},"
        "{method: lora, quant: [nf4]}, {method: lora, quant: int8}, {method: rslora, quant: none}, {method: lora},"
        "{method: lora, quant: nf4}]"
    )
    told = problems(f"certify.ladder={ladder}", "lora.init=loftq", "quant.compute=bfloat16", "device=cpu")
    for part in (
        "arm 1: method=full cannot be combined with quant=nf4: quantized weights cannot be trained; write quant=none, which all arms take",
        "arm 2: quant=nf5: unknown; did you mean 'nf4'?",
        "arm 3: method=dora cannot be combined with quant=int8: PEFT cannot take the norm of 8-bit columns; write quant: nf4 in the arm",
        "arm 3: quant=int8: cannot be combined with quant.compute=bfloat16",
        "arm 4: the sizes of adapters are found on the study's base, and method=lokr cannot be combined with quant=nf4",
        "arm 5: method=ia3 has no field 'qant'; did you mean 'quant'?",
        "arm 6: quant=['nf4']: write one value",
        "arm 7: quant=int8: cannot be combined with quant.compute=bfloat16",
        "arm 8: quant=none: cannot be combined with lora.init=loftq: the base has no quantization error",
        "arm 10 is the same as arm 9",
    ):
        assert any(part in problem for problem in told), (part, told)
    assert len(told) == 10, told


def test_constants_are_quantized_as_the_study_says_where_it_can_say_it() -> None:
    ladder = "certify.ladder=[{method: lora, quant: nf4}, {method: lora}]"
    (told,) = problems("quant=none", "quant.double_quant=false", ladder)
    assert told.startswith(
        "quant.double_quant=false: is for the study's base, and quant=none has no constants to quantize"
    )
    assert composed_plan(["quant=none", "quant.double_quant=false", ladder, "certify=none"]).setup.quant.name == "none"


def test_all_mistakes_in_one_message() -> None:
    ladder = (
        "[{method: prompt_tunin}, {method: lora, tokens: 2, r: 0}, 4, {method: lora, r: 8}, {method: lora, r: 8}, {r: 3}, {method: full},"
        "{method: prefix_tuning, tokens: abc}, {method: lora, r: 4, targets: nowhere}, {method: prompt_tuning, init: never}]"
    )
    told = problems(
        f"certify.ladder={ladder}",
        *(
            "search.trials=3",
            "certify.ladder_by=cut",
            "certify.confirm=true",
            "certify.cost=bytes",
            "train.gradient_checkpointing=true",
        ),
    )
    for part in (
        "certify.cost=bytes: unknown; did you mean 'adapter_bytes'?",
        "arm 1: there is no method 'prompt_tunin'; did you mean 'prompt_tuning'?",
        "arm 2: method=lora has no field 'tokens' (fields: r, alpha_ratio, dropout, targets, learning_rate, rank_pattern",
        "arm 2: r=0: must be from 1 to 4096",
        "arm 3 is '4'; write {method: lora, r: 4}, or only ranks",
        "arm 5 is the same as arm 4, so both cost the same",
        "arm 6: the method is missing",
        "arm 7: method=full cannot be combined with quant=nf4: quantized weights cannot be trained",
        "arm 8: tokens=abc: must be a whole number",
        "arm 8: method=prefix_tuning cannot be combined with train.gradient_checkpointing=true",
        "certify.ladder: smollm2-135m has no linear module or set 'nowhere'",
        "arm 10: init=never: unknown",
        "certify.ladder_by=cut: arms of a ladder are each trained",
        "certify.confirm=true: every arm of the ladder is trained",
        "search.trials: nothing is searched with a ladder of arms",
    ):
        assert any(part in problem for problem in told), (part, told)
    assert len(told) == 15, told


@pytest.mark.parametrize(
    ("ladder", "told"),
    [
        ("[{method: lora, r: 4}]", "a verdict compares at least two arms"),
        ("[{method: lora, r: [1]}, {method: ia3}]", "arm 1: r=[1]: write one value"),
        ("[{method: 7}, {method: ia3}]", "arm 1: there is no method '7'"),
        ("[a,4]", "must be a whole number"),
    ],
)
def test_a_mistake(ladder: str, told: str) -> None:
    assert any(told in problem for problem in problems(f"certify.ladder={ladder}"))


def test_without_a_verdict_the_ladder_does_not_matter() -> None:
    plan = composed_plan(["certify=none", f"certify.ladder={LADDER}"])
    assert (plan.setup.engine, plan.setup.quant.name, plan.search.trials) == ("packed", "nf4", 8)


def test_a_method_without_ranks_may_have_a_ladder_of_arms() -> None:
    assert composed_plan(
        ["method=prompt_tuning", "certify.ladder=[{method: prompt_tuning}, {method: lora, r: 2}]"]
    ).certify
