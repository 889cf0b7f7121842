"""Ranks proposed from singular values: they are those of the stored adapter, fit the parameters, and their commands say just them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sweep.commands.app import composed_plan
from sweep.methods.module_ranks import compiled, module_rank
from sweep.records import Arm, StudyRecord
from sweep.records.braces import in_braces
from sweep.reports.page.module_ranks import needed_ranks_chart
from sweep.reports.rank_suggestion import (
    ModuleUpdate,
    Proposal,
    module_updates,
    propose,
    read_suggestion,
    suggestion_steps,
    write_suggestion,
)
from sweep.reports.rank_suggestion.allocation import MOST_NAMES, names_of, uniform
from sweep.reports.rank_suggestion.energies import squared_singular_values
from sweep.reports.rank_suggestion.suggestion import FILE
from sweep.reports.steps import steps
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen
from tests.conftest import cut_record, study_record

PARTS = {"self_attn.q_proj": 64, "self_attn.v_proj": 48, "mlp.down_proj": 160}


def updates_of(needs: dict[str, Sequence[float]], layers: int) -> tuple[ModuleUpdate, ...]:
    """Updates whose squared singular values are those of their part, larger with the layer for v_proj."""
    return tuple(
        ModuleUpdate(f"model.layers.{layer}.{part}", PARTS[part], tuple(square * factor for square in squares))
        for layer in range(layers)
        for part, squares in needs.items()
        for factor in (1 + layer if part == "self_attn.v_proj" else 1,)
    )


def ranks_of(proposal: Proposal, updates: Sequence[ModuleUpdate]) -> dict[str, int]:
    """As LoRA would have them."""
    arm = Arm(proposal.rank, 1.0, 0.0, (), 1e-3, rank_pattern=tuple(proposal.pattern.items()))
    return {update.name: module_rank(arm, update.name) for update in updates}


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.floats(0.1, 8))
@settings(max_examples=60, deadline=None)
def test_singular_values_are_those_of_the_product(rank: int, inputs: int, outputs: int, scale: float) -> None:
    draw = np.random.default_rng([rank, inputs, outputs])
    down, up = scale * draw.standard_normal((rank, inputs)), draw.standard_normal((outputs, rank))
    singular = np.linalg.svd(up @ down, compute_uv=False)[:rank]
    found = squared_singular_values(down, up)
    assert found.shape == (rank,)
    assert found[: len(singular)] == pytest.approx(singular**2, abs=1e-9 * float(singular[0] ** 2))
    assert not found[len(singular) :].round(6).any()


squares = st.lists(st.floats(0.01, 10), min_size=8, max_size=8).map(lambda values: sorted(values, reverse=True))


@given(st.fixed_dictionaries(dict.fromkeys(PARTS, squares)), st.integers(1, 31), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_a_proposal_is_what_its_patterns_say(needs: dict[str, Sequence[float]], layers: int, rank: int) -> None:
    updates = updates_of(needs, layers)
    own = uniform(updates, rank)
    found = propose(updates, own.parameters)
    if rank == 1:
        assert found is None, "nothing has fewer parameters"
        return
    assert found is not None
    ranks = ranks_of(found, updates)
    assert found.parameters == sum(update.width * ranks[update.name] for update in updates) < own.parameters
    energy = sum(update.energy for update in updates)
    assert found.kept == pytest.approx(sum(update.kept(ranks[update.name]) for update in updates) / energy)
    assert len(list(names_of(found))) <= MOST_NAMES
    for update in updates:
        assert sum(bool(compiled(pattern).match(update.name)) for pattern in found.pattern) <= 1
    assert list(found.pattern.values()) == sorted(set(found.pattern.values()), reverse=True)


def test_rank_goes_where_the_update_is() -> None:
    steep, flat = [64 * 0.25**place for place in range(16)], [4.0] * 16
    updates = updates_of({"self_attn.q_proj": steep, "self_attn.v_proj": steep, "mlp.down_proj": flat}, 30)
    found = propose(updates, uniform(updates, 8).parameters)
    assert found is not None
    ranks = ranks_of(found, updates)
    assert ranks["model.layers.3.mlp.down_proj"] > 8 > ranks["model.layers.3.self_attn.q_proj"]
    assert found.kept > uniform(updates, 8).kept
    shown = in_braces(found.pattern.items())
    assert len(found.pattern) <= 5, shown
    few = propose(updates, uniform(updates, 16).parameters, 0.9)
    assert few is not None
    assert 0.9 <= few.kept < 0.97
    assert few.parameters < found.parameters * 2


def test_layers_are_told_apart_where_that_pays() -> None:
    weak, strong = [0.01] * 8, [5.0] * 8
    updates = tuple(
        ModuleUpdate(f"model.layers.{layer}.self_attn.q_proj", 64, tuple(strong if 10 <= layer < 20 else weak))
        for layer in range(30)
    )
    found = propose(updates, uniform(updates, 4).parameters, 0.99)
    assert found is not None
    assert found.pattern == {r"layers.1\d.self_attn.q_proj": 8}
    assert found.kept > 0.98
    few = tuple(replace(update, name=update.name.replace(".1", ".")) for update in updates[10:13])
    assert propose(few, uniform(few, 4).parameters) is not None


def stored(paths: Paths, identity: str, rank: int = 32, layers: int = 2) -> Path:
    """An adapter in the store whose v_proj has a small rank."""
    folder = paths.trained_adapter(identity) / "adapter"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    for layer in range(layers):
        for part in ("q_proj", "v_proj"):
            falls = (0.8 if part == "q_proj" else 0.3) ** np.arange(rank)
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            weights[f"{name}.lora_A.weight"] = (draw.standard_normal((rank, 64)) * falls[:, None]).astype(np.float32)
            weights[f"{name}.lora_B.weight"] = np.linalg.qr(draw.standard_normal((64, rank)))[0].astype(np.float32)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"r": rank, "lora_alpha": 2 * rank, "use_rslora": False, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def record() -> StudyRecord:
    return cut_record()


def test_the_study_proposes_from_the_adapter_that_was_not_cut(record: StudyRecord, tmp_path: Path) -> None:
    paths, conclusion = Paths(tmp_path), conclude(record)
    assert conclusion is not None
    assert write_suggestion(record, conclusion, paths) is None, "no adapter, no proposal"
    trial = chosen(record, conclusion)
    assert trial is not None
    assert (trial.rank, trial.arm.cut_from) == (4, 32)
    folder = stored(paths, f"certify-certify-r32-s{trial.seed}")
    updates = module_updates(folder)
    weights_energy = sum(update.energy for update in updates)
    assert weights_energy > 0
    made = write_suggestion(record, conclusion, paths)
    assert made is not None
    assert (made.trained_rank, made.chosen_rank, len(made.ranks)) == (32, 4, 4)
    assert made.proposal is not None
    assert made.proposal.parameters < made.one_rank.parameters
    assert made.proposal.kept > made.one_rank.kept
    written = json.loads((paths.report(record.name) / FILE).read_text())
    assert written["proposal"]["pattern"] == dict(made.proposal.pattern)
    assert "has to be tested" in written["says"]
    # it outlives the adapter, and belongs to no other
    (folder / "adapter_model.safetensors").unlink()
    assert read_suggestion(record, conclusion, paths) == write_suggestion(record, conclusion, paths) == made
    other = replace(record, certification=None)
    assert read_suggestion(other, None, paths) is None
    assert write_suggestion(other, None, paths) is None
    assert not (paths.report(record.name) / FILE).exists()


def test_the_commands_train_what_is_proposed(record: StudyRecord, tmp_path: Path) -> None:
    record = replace(
        record, command="python -m sweep +study=pharma search.trials=10 seed=1 lora.alpha=32 'budget.memory=9 GB'"
    )
    paths, conclusion = Paths(tmp_path), conclude(record)
    stored(paths, "certify-certify-r32-s0")
    for seed in (1, 2, 3):
        stored(paths, f"certify-certify-r32-s{seed}")
    made = write_suggestion(record, conclusion, paths)
    assert made is not None
    assert made.proposal is not None
    ladder, alone = (shlex.split(step.command) for step in suggestion_steps(record, conclusion, paths))
    assert [step.command for step in steps(record, conclusion, paths, "memory:")][-2:] == [
        shlex.join(ladder),
        shlex.join(alone),
    ]
    plan = composed_plan(ladder[3:])
    arms = [arm.arm for arm in plan.declaration.arms]
    assert arms[0].rank_pattern == tuple(made.proposal.pattern.items())
    assert [arm.rank for arm in arms] == [made.proposal.rank, 4]
    assert plan.name == "made-ranks"
    trial = chosen(record, conclusion)
    assert trial is not None
    one = composed_plan(alone[3:], searches=False)
    assert alone[:3] == ["python", "-m", "sweep.train"]
    expected = replace(trial.arm, rank=made.proposal.rank, cut_from=None, rank_pattern=arms[0].rank_pattern)
    assert one.arm == expected
    assert arms[0] == replace(expected, learning_rate=0.0)


@pytest.mark.parametrize(
    "name", [r"layers.1\d.self_attn.q_proj", "q_proj|v_proj", "layers.(0|1).q", "a{2}.[b]", "x y:z=,"]
)
def test_any_name_reaches_the_configuration(name: str) -> None:
    word = f"lora.rank_pattern={in_braces({name: 4, 'down_proj': 2}.items())}"
    (read,) = shlex.split(shlex.quote(word))
    assert OverridesParser.create().parse_override(read).value() == {name: 4, "down_proj": 2}


def test_it_is_drawn_by_layer(record: StudyRecord, tmp_path: Path) -> None:
    paths, conclusion = Paths(tmp_path), conclude(record)
    trial = chosen(record, conclusion)
    assert trial is not None
    stored(paths, f"certify-certify-r32-s{trial.seed}")
    made = write_suggestion(record, conclusion, paths)
    assert made is not None
    drawn = needed_ranks_chart(made)
    (heat,) = drawn.spec["data"]
    assert list(heat["y"]) == ["q_proj", "v_proj"]
    assert heat["z"][0][0] > heat["z"][1][0]
    assert "q_proj has" in drawn.says


def test_an_even_update_and_other_methods_have_no_proposal(tmp_path: Path) -> None:
    flat = updates_of({"self_attn.q_proj": [1.0] * 8}, 4)
    from sweep.reports.rank_suggestion.suggestion import suggestion_of

    assert suggestion_of(flat, "id", 4).proposal is None
    assert "would gain little" in suggestion_of(flat, "id", 4).words()
    steep, even = [64 * 0.1**place for place in range(16)], [1.0] * 12 + [1e-3] * 4
    uncut = suggestion_of(updates_of({"self_attn.q_proj": steep, "mlp.down_proj": even}, 4), "id", 16)
    # not compared with all parameters that were trained, but with the smallest rank that would do
    assert uncut.one_rank.kept >= 0.99
    assert uncut.one_rank.rank == 12
    assert uncut.proposal is not None
    assert uncut.proposal.parameters <= 0.85 * uncut.one_rank.parameters
    assert uncut.proposal.kept >= 0.99
    assert write_suggestion(study_record([]), None, Paths(tmp_path)) is None
