"""Target modules by set name or one by one: sorted, without repetition, and named by their set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sweep.config.targets import check_targets, resolve_targets, set_name

SETS = {
    "q_v": ("q_proj", "v_proj"),
    "mlp": ("up_proj", "down_proj"),
    "all": ("q_proj", "v_proj", "up_proj", "down_proj"),
}
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")

entries = st.lists(st.sampled_from([*SETS, *MODULES]), min_size=1, max_size=6)


@given(entries)
def test_list_and_comma_separated_text_mean_the_same(names: list[str]) -> None:
    assert (
        resolve_targets(names, SETS)
        == resolve_targets(",".join(names), SETS)
        == resolve_targets(" , ".join(names), SETS)
    )


@given(entries)
def test_modules_are_sorted_without_repetition(names: list[str]) -> None:
    expected = {module for name in names for module in SETS.get(name, (name,))}
    assert resolve_targets(names, SETS) == tuple(sorted(expected))


@given(entries)
def test_resolving_twice_changes_nothing(names: list[str]) -> None:
    resolved = resolve_targets(names, SETS)
    assert resolve_targets(resolved, SETS) == resolve_targets(",".join(resolved), SETS) == resolved


@given(st.sampled_from(sorted(SETS)))
def test_set_name_of_its_modules(name: str) -> None:
    assert set_name(resolve_targets(name, SETS), SETS) == name


def test_modules_without_a_set_are_listed() -> None:
    assert set_name(("k_proj", "q_proj"), SETS) == "k_proj,q_proj"


def test_real_model_knows_suffixes_and_suggests_the_nearest() -> None:
    real = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"]
    assert check_targets(["q_proj", "mlp.up_proj", real[0]], real, "lora.targets") == []
    assert check_targets(["q_prj", "proj"], real, "lora.targets") == [
        "lora.targets: the model has no linear module named 'q_prj'; did you mean 'q_proj'? (it has: q_proj, up_proj)",
        "lora.targets: the model has no linear module named 'proj'; did you mean 'q_proj'? (it has: q_proj, up_proj)",
    ]
