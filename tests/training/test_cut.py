"""A cut adapter is the best approximation of its rank, and loads like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel

from sweep.errors import TrialDiverged, TrialFailed
from sweep.methods import scale as scale_of
from sweep.records import TrialSpec
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.cut import cut_adapter, cut_matrices
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.packed.adapter import Host
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.kinds import load_slot_adapter
from sweep.training.packed.lora import LoraAdapter
from sweep.training.packed.pack import Pack

Matrices = tuple[torch.Tensor, torch.Tensor]


@st.composite
def factors(draw: st.DrawFn) -> Matrices:
    """A and B of some shape, possibly wider than the module, with singular values of very different size."""
    inputs, outputs, rank = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 10))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    spread = torch.logspace(0, -draw(st.integers(0, 3)), rank)
    down = torch.randn(rank, inputs, generator=generator) * spread[:, None]
    return down, torch.randn(outputs, rank, generator=generator)


def update(down: torch.Tensor, up: torch.Tensor, scale: float) -> torch.Tensor:
    return scale * up.double() @ down.double()


@given(factors(), st.integers(1, 12), st.floats(0.1, 8), st.floats(0.1, 8))
@settings(max_examples=60, deadline=None)
def test_the_error_is_that_of_the_truncated_decomposition(
    matrices: Matrices, rank: int, scale: float, cut_scale: float
) -> None:
    down, up = matrices
    cut_down, cut_up, kept = cut_matrices(down, up, scale, rank, cut_scale=cut_scale)
    assert cut_down.shape == (rank, down.shape[1])
    assert cut_up.shape == (up.shape[0], rank)
    whole = update(down, up, scale)
    singular = torch.linalg.svdvals(whole)
    error = float(torch.linalg.norm(whole - update(cut_down, cut_up, cut_scale)))
    size = float(singular.norm())
    assert error == pytest.approx(float(singular[rank:].norm()), abs=1e-5 * size)
    assert kept == pytest.approx(float(singular[:rank].square().sum() / singular.square().sum()), abs=1e-9)


@given(factors(), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_rank_that_is_not_smaller_keeps_the_update(matrices: Matrices, more: int) -> None:
    down, up = matrices
    cut_down, cut_up, kept = cut_matrices(down, up, 1.5, down.shape[0] + more)
    whole = update(down, up, 1.5)
    assert float((whole - update(cut_down, cut_up, 1.5)).norm()) < 1e-5 * float(whole.norm())
    assert kept == pytest.approx(1.0, abs=1e-9)


def test_it_is_split_evenly_and_has_fixed_signs() -> None:
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(8, 20, generator=generator), torch.randn(30, 8, generator=generator)
    cut_down, cut_up, _ = cut_matrices(down, up, 2.0, 3)
    torch.testing.assert_close(cut_down.norm(dim=1), cut_up.norm(dim=0))
    again_down, again_up, _ = cut_matrices(-down, -up, 2.0, 3)
    torch.testing.assert_close(again_down, cut_down)
    torch.testing.assert_close(again_up, cut_up)


def test_an_update_of_zero_stays_zero() -> None:
    for down, up in ((torch.randn(4, 6), torch.zeros(5, 4)), (torch.zeros(4, 6), torch.zeros(5, 4))):
        cut_down, cut_up, kept = cut_matrices(down, up, 2.0, 2)
        assert not cut_down.any()
        assert not cut_up.any()
        assert kept == 1.0


@pytest.mark.parametrize("method", ["lora", "rslora"])
@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_a_cut_adapter_loads_in_peft_and_packed(
    load_tiny: Callable[[str], LoadedBase],
    encoded: list[Encoded],
    spec: Callable[..., TrialSpec],
    tmp_path: Path,
    method: str,
    quant: str,
) -> None:
    base = load_tiny(quant)
    pack = Pack(base)
    parent = spec(8, method=method, alpha_ratio=0.5, targets=("v_proj", "down_proj")).arm
    assert parent is not None
    adapter = LoraAdapter(parent, Host(pack.shapes, base.device))
    with torch.no_grad():
        adapter.initialize(0)
        generator = torch.Generator().manual_seed(1)
        for matrix in adapter.up.values():
            matrix.copy_(0.05 * torch.randn(matrix.shape, generator=generator))
    source, target = tmp_path / "whole", tmp_path / "cut"
    adapter.save(source, base.id)
    base.write_origin(source)
    arm = replace(parent, rank=3, cut_from=8)
    cut = cut_adapter(source, target, arm)
    config = json.loads((target / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (3, 1.5, method == "rslora")
    assert {file.name for file in target.iterdir()} == {file.name for file in source.iterdir()}
    assert 0 < cut.energy_kept < 1
    loaded = load_slot_adapter(target, Host(pack.shapes, base.device))
    assert loaded.parameters() == cut.parameters
    for name, down in adapter.down.items():
        expected_down, expected_up, _ = cut_matrices(down, adapter.up[name], scale_of(parent), 3)
        torch.testing.assert_close(
            update(loaded.down[name].detach(), loaded.up[name].detach(), loaded.scale),
            update(expected_down, expected_up, scale_of(parent)),
        )
    (packed,) = packed_losses(base, pack, [loaded], encoded)
    peft = PeftModel.from_pretrained(base.model, str(target))
    try:
        plain = completion_losses(base, peft, encoded)
    finally:
        detach(peft)
    assert [one.nats for one in packed] == pytest.approx([one.nats for one in plain], abs=1e-3)


def test_an_adapter_that_is_no_parent_is_refused(
    load_tiny: Callable[[str], LoadedBase], spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    base = load_tiny("none")
    parent = spec(4).arm
    assert parent is not None
    adapter = LoraAdapter(parent, Host(Pack(base).shapes, base.device))
    adapter.save(tmp_path / "whole", base.id)
    with pytest.raises(TrialFailed, match="has rank 4, not the rank 8"):
        cut_adapter(tmp_path / "whole", tmp_path / "cut", replace(parent, rank=2, cut_from=8))
    with pytest.raises(TrialFailed, match="cannot be read"):
        cut_adapter(tmp_path / "nowhere", tmp_path / "cut", replace(parent, rank=2, cut_from=4))
    with torch.no_grad():
        next(iter(adapter.up.values())).fill_(torch.nan)
    adapter.save(tmp_path / "whole", base.id)
    with pytest.raises(TrialDiverged, match="not finite"):
        cut_adapter(tmp_path / "whole", tmp_path / "cut", replace(parent, rank=2, cut_from=4))
