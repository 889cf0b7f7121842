"""Ranks and alphas of single modules are those that PEFT takes from the written configuration, in whichever order that names them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.utils.other import get_pattern_key

from sweep.methods import arm_words
from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import TrainingFacts
from sweep.methods.module_ranks import (
    for_modules,
    is_in_layers,
    largest_rank,
    layer_of,
    module_alpha,
    module_rank,
    module_scale,
    pattern_words,
)
from sweep.records import Arm
from sweep.records.layers import layer_ranges, read_layers

MODULES = [
    f"model.layers.{layer}.{part}"
    for layer in (0, 1, 10, 11)
    for part in ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
]
PATTERNS = [
    "q_proj",
    "self_attn.q_proj",
    "down_proj",
    "layers.0.*.q_proj",
    "layers.1.*.q_proj",
    r"layers\.1\d\..*",
    "up",
    ".*",
]
LORA = Arm(8, 2.0, 0.0, ("down_proj", "q_proj", "v_proj"), 1e-3)

ranks = st.lists(st.tuples(st.sampled_from(PATTERNS), st.integers(1, 32)), max_size=4, unique_by=lambda pair: pair[0])
alphas = st.lists(
    st.tuples(st.sampled_from(PATTERNS), st.sampled_from([1.0, 4.0, 24.0])), max_size=3, unique_by=lambda pair: pair[0]
)


@given(ranks, alphas, st.sampled_from(["lora", "rslora", "dora"]))
@settings(max_examples=150, deadline=None)
def test_a_written_configuration_says_the_same_to_peft(
    rank_pattern: list[tuple[str, int]], alpha_pattern: list[tuple[str, float]], method: str
) -> None:
    arm = replace(LORA, rank_pattern=tuple(rank_pattern), alpha_pattern=tuple(alpha_pattern), method=method)
    written = lora_settings(for_modules(arm, MODULES), TrainingFacts())
    # PEFT sorts what it saves
    config = json.loads(json.dumps(written, sort_keys=True))
    own, factors = config.get("rank_pattern", {}), config.get("alpha_pattern", {})
    assert all(any(get_pattern_key([key], name) == key for name in MODULES) for key in (*own, *factors))
    for name in MODULES:
        first = next((rank for key, rank in rank_pattern if get_pattern_key([key], name) == key), arm.rank)
        assert own.get(get_pattern_key(own, name), config["r"]) == module_rank(arm, name) == first
        alpha = factors.get(get_pattern_key(factors, name), config["lora_alpha"])
        assert alpha == pytest.approx(module_alpha(arm, name))
        assert module_scale(arm, name) == pytest.approx(alpha / (first**0.5 if method == "rslora" else first))
        assert module_scale(for_modules(arm, MODULES), name) == pytest.approx(module_scale(arm, name))
        assert first <= largest_rank(arm)


def test_a_rank_of_its_own_leaves_the_scale() -> None:
    arm = replace(LORA, rank_pattern=(("down_proj", 16), ("q_proj", 2)))
    assert {module_scale(arm, name) for name in MODULES} == {2.0}
    assert [module_alpha(arm, name) for name in MODULES[:3]] == [4.0, 16.0, 32.0]
    assert lora_settings(arm, TrainingFacts())["alpha_pattern"] == {"down_proj": 32.0, "q_proj": 4.0}
    fixed = replace(LORA, alpha_pattern=(("down_proj", 32.0),))
    assert module_scale(fixed, MODULES[2]) == 4.0
    assert module_scale(replace(fixed, rank=16), MODULES[2]) == 2.0, "an alpha stays where the rank changes"


def test_an_arm_without_patterns_is_written_as_before() -> None:
    assert not {"rank_pattern", "alpha_pattern", "layers_to_transform"} & set(lora_settings(LORA, TrainingFacts()))
    assert for_modules(LORA, MODULES) is LORA
    assert pattern_words(LORA) == ""


def test_patterns_are_kept_where_any_order_means_the_same_and_else_each_module_is_named() -> None:
    apart = replace(LORA, rank_pattern=(("down_proj", 16), ("q_proj", 2), ("up_proj", 4)))
    assert for_modules(apart, MODULES).rank_pattern == (("down_proj", 16), ("q_proj", 2))
    nested = for_modules(replace(LORA, rank_pattern=((r"layers\.0\..*q_proj", 4), ("q_proj", 2))), MODULES)
    assert dict(nested.rank_pattern) == {name: 4 if ".0." in name else 2 for name in MODULES if name.endswith("q_proj")}
    assert for_modules(nested, MODULES) == nested


def test_layers_are_the_first_number_in_a_name() -> None:
    assert [layer_of(name) for name in ("model.layers.3.mlp.experts.7.up", "lm_head", "model.embed.4")] == [
        3,
        None,
        None,
    ]
    upper = replace(LORA, layers=(10, 11))
    assert [name for name in MODULES if is_in_layers(upper, name)] == MODULES[6:]


@pytest.mark.parametrize(
    ("written", "layers"),
    [
        (3, (3,)),
        ("20-22", (20, 21, 22)),
        ([0, 1, "20-22", 1], (0, 1, 20, 21, 22)),
        ("0, 2 - 3", (0, 2, 3)),
        ([], ()),
        (None, ()),
    ],
)
def test_layers_as_people_write_them(written: object, layers: tuple[int, ...]) -> None:
    assert read_layers(written) == layers
    assert read_layers(layer_ranges(layers) or None) == layers


@pytest.mark.parametrize("written", ["", "a", "3-1", -1, 1.5, True, [[1]], {"a": 1}, "0-99999999", ["1", ""]])
def test_layers_that_are_none(written: object) -> None:
    with pytest.raises(ValueError, match=r"layer|write"):
        read_layers(written)


def test_people_see_the_patterns() -> None:
    arm = replace(LORA, rank_pattern=(("down_proj", 16),), layers=tuple(range(15, 30)))
    assert arm_words(arm) == "rank 8 (down_proj rank 16, layers 15-29)"
    many = replace(LORA, rank_pattern=tuple((f"m{number}", 4) for number in range(5)), method="dora")
    assert arm_words(many) == "DoRA at rank 8 (5 patterns of ranks)"
