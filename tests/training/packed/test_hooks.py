"""Adapters are cast once per pass, and in an evaluation once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sweep.records import TrialSpec
from sweep.training.packed import grouped
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.hooks import AdapterHooks, SlotRows
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
        self.adapters = [SlotAdapter(arm, SHAPES, CPU, side_by_side=self.hooks.grouped) for _ in range(2)]
        for seed, adapter in enumerate(self.adapters):
            adapter.initialize(seed)
            with torch.no_grad():
                adapter.vectors[1].normal_(generator=torch.Generator().manual_seed(seed))

    @contextmanager
    def outputs(self) -> Iterator[torch.Tensor]:
        inputs = torch.randn(6, 16, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
        with self.hooks.active([SlotRows(self.adapters[0], 2), SlotRows(self.adapters[1], 4)]):
            yield self.model(inputs)


@pytest.fixture(params=[True, False], ids=["grouped", "loop"])
def base(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, spec: Callable[..., TrialSpec]) -> Base:
    monkeypatch.setattr(grouped, "grouped", lambda device, dtype: request.param)
    return Base(spec)


def test_a_pass_casts_each_adapter_once(base: Base) -> None:
    with operators() as counts, base.outputs():
        pass
    assert counts["aten.copy_.default"] == 4, "A and B of two adapters"
    assert counts["aten._to_copy.default"] <= 2, "the groups' ends, in two steps"


def test_an_evaluation_casts_each_adapter_once(base: Base) -> None:
    with torch.no_grad(), base.hooks.fixed():
        with base.outputs() as first:
            pass
        with operators() as counts, base.outputs() as second:
            pass
    assert counts["aten.copy_.default"] == 0
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
