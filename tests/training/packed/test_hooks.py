"""Adapters are cast once per pass, and in an evaluation once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sweep.records import TrialSpec
from sweep.training.packed import grouped, hooks
from sweep.training.packed.adapter import Host
from sweep.training.packed.hooks import AdapterHooks, SlotRows
from sweep.training.packed.lora import LoraAdapter
from tests.training.packed.counted import operators

SHAPES = {"0": (16, 24), "1": (24, 8)}
CPU = torch.device("cpu")


class Base:
    """Two modules in bf16, and two adapters of rank 4."""

    def __init__(self, spec: Callable[..., TrialSpec]) -> None:
        self.model = nn.Sequential(*(nn.Linear(*shape, bias=False, dtype=torch.bfloat16) for shape in SHAPES.values()))
        self.model.requires_grad_(requires_grad=False)
        self.hooks = AdapterHooks(self.model, SHAPES, CPU, torch.bfloat16)
        arm = spec(4, targets=("0", "1")).arm
        assert arm is not None
        self.adapters = [LoraAdapter(arm, Host(SHAPES, CPU, self.hooks.stacked)) for _ in range(2)]
        for seed, adapter in enumerate(self.adapters):
            adapter.initialize(seed)
            with torch.no_grad():
                adapter.vectors[1].normal_(generator=torch.Generator().manual_seed(seed))

    @contextmanager
    def outputs(self) -> Iterator[torch.Tensor]:
        inputs = torch.randn(6, 16, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
        with self.hooks.active([SlotRows(self.adapters[0], 2), SlotRows(self.adapters[1], 4)]):
            yield self.model(inputs)


@pytest.fixture(params=["grouped", "batched", "loop"])
def base(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, spec: Callable[..., TrialSpec]) -> Base:
    monkeypatch.setattr(grouped, "stacked", lambda device: True)
    if request.param == "loop":
        monkeypatch.setattr(hooks, "BATCHED_ROWS", 0)
    monkeypatch.setattr(grouped, "grouped", lambda device, dtype: request.param == "grouped")
    return Base(spec)


def test_a_pass_casts_each_adapter_once(base: Base) -> None:
    with operators() as counts, base.outputs():
        pass
    # A and B of two adapters, and what groups need
    assert 4 <= counts["aten.copy_.default"] + counts["aten._to_copy.default"] <= 7


def test_an_evaluation_casts_each_adapter_once(base: Base) -> None:
    with torch.no_grad(), base.hooks.fixed():
        with base.outputs() as first:
            pass
        with operators() as counts, base.outputs() as second:
            pass
    assert counts["aten.copy_.default"] + counts["aten._to_copy.default"] <= 3
    assert torch.equal(first, second)


def test_a_step_after_an_evaluation_is_seen(base: Base) -> None:
    with torch.no_grad():
        with base.hooks.fixed(), base.outputs() as before:
            pass
        for adapter in base.adapters:
            adapter.vectors[1].mul_(2)
        with base.outputs() as after:
            pass
    assert not torch.equal(before, after)


def test_gradients_are_in_fp32_and_add_up(base: Base) -> None:
    for _ in range(2):
        with base.outputs() as outputs:
            outputs.float().square().sum().backward()
    for adapter in base.adapters:
        for vector in adapter.vectors:
            assert vector.grad is not None
            assert vector.grad.dtype == torch.float32
        for name, matrix in adapter.matrices():
            assert matrix.grad is not None
            assert matrix.grad.any(), name
    twice = [vector.grad.clone() for adapter in base.adapters for vector in adapter.vectors if vector.grad is not None]
    for adapter in base.adapters:
        adapter.zero_gradients()
    with base.outputs() as outputs:
        outputs.float().square().sum().backward()
    once = [vector.grad for adapter in base.adapters for vector in adapter.vectors]
    torch.testing.assert_close([2 * one for one in once if one is not None], twice)


def test_inputs_of_another_type(base: Base) -> None:
    """A module that keeps fp32 among others in bf16."""
    with base.outputs() as expected:
        pass
    base.model.float()
    inputs = torch.randn(6, 16, generator=torch.Generator().manual_seed(3))
    with base.hooks.active([SlotRows(base.adapters[0], 2), SlotRows(base.adapters[1], 4)]):
        outputs = base.model(inputs)
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, expected.float(), rtol=0.05, atol=0.05 * float(expected.detach().abs().max()))
    outputs.square().sum().backward()
    for adapter in base.adapters:
        assert all(matrix.grad is not None and matrix.grad.any() for _, matrix in adapter.matrices())


def test_rows_of_several_columns(base: Base) -> None:
    """An ordinary batch: each example has several tokens."""
    inputs = torch.randn(6, 3, 16, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    with base.hooks.active([SlotRows(base.adapters[0], 2), SlotRows(base.adapters[1], 4)]):
        outputs = base.model(inputs)
    for adapter, own, expected in zip(base.adapters, inputs.split([2, 4]), outputs.split([2, 4]), strict=True):
        with base.hooks.active([SlotRows(adapter, len(own))]):
            unit = 0.02 * float(expected.detach().abs().max())  # bf16; the scale is multiplied before or after rounding
            torch.testing.assert_close(base.model(own), expected, rtol=0.02, atol=unit)
