"""Shapes are read from the headers of a model's files, and adapters are counted from them as PEFT makes them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.planning.base_facts import BaseFacts, facts_by_size, facts_in
from sweep.commands.planning.sizes import lora_parameters, sizes_of
from tests.conftest import arm

SHAPES = {
    "model.embed_tokens.weight": [100, 8],
    "model.norm.weight": [8],
    "model.layers.0.self_attn.q_proj.weight": [8, 8],
    "model.layers.0.self_attn.v_proj.weight": [4, 8],
    "model.layers.0.mlp.down_proj.weight": [8, 16],
}


def write_model(folder: Path) -> Path:
    """A folder with a configuration and a safetensors file that has a header and no numbers."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1}))
    entries = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in SHAPES.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


@pytest.fixture
def facts(tmp_path: Path) -> BaseFacts:
    return facts_in(write_model(tmp_path / "model"))


def test_the_sizes_of_a_model(facts: BaseFacts) -> None:
    assert (facts.parameters, facts.body, facts.head) == (800 + 8 + 64 + 32 + 128, 64 + 32 + 128, 800)
    assert facts.linear["model.layers.0.mlp.down_proj"] == (16, 8)
    assert "model.embed_tokens" not in facts.linear


def test_targets_are_ends_of_names(facts: BaseFacts) -> None:
    assert facts.targeted(["q_proj", "down_proj"]) == [(8, 8), (16, 8)]
    assert facts.targeted(["proj"]) == []


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="no safetensors file"):
        facts_in(folder)


def test_where_only_the_number_of_parameters_is_known() -> None:
    assert (facts_by_size(135_000_000).body, facts_by_size(135_000_000).linear) == (135_000_000, {})


def test_parameters_of_lora(facts: BaseFacts) -> None:
    assert lora_parameters(facts, ["q_proj", "v_proj"], 2) == 2 * (8 + 8) + 2 * (8 + 4)


def test_sizes_of_lora_and_of_all_weights(facts: BaseFacts, tmp_path: Path) -> None:
    lora, full = sizes_of([arm(2), replace(arm(0, targets=()), method="full")], facts, tmp_path, steps=4)
    assert (lora.parameters, lora.bytes) == (56, 4 * 56)
    assert full.parameters == facts.parameters
