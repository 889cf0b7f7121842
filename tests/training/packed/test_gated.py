"""Gated blocks computed a few rows at a time have torch's values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP

from sweep.training.base_model import LoadedBase
from sweep.training.packed import gated
from sweep.training.packed.gated import silu_times, use_blocks


@pytest.mark.parametrize("shape", [(1, 40, 16), (2, 3, 16), (1, 1, 16), (0, 16)])
@pytest.mark.parametrize("block", [16, 100, 1 << 17])
def test_values_and_gradients(shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated, "_BLOCK_NUMBERS", block)
    generator = torch.Generator().manual_seed(0)
    gate, up = (torch.randn(shape, generator=generator).requires_grad_() for _ in range(2))
    results = []
    for multiply in (silu_times, lambda gate, up: functional.silu(gate) * up):
        product = multiply(gate, up)
        results.append((product.detach(), *torch.autograd.grad(product.square().sum(), (gate, up))))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def block(**changes: Any) -> LlamaMLP:
    config = LlamaConfig(hidden_size=8, intermediate_size=16, num_attention_heads=1, **changes)
    return LlamaMLP(config).requires_grad_(False)


def test_a_gated_block_is_recognized_and_computes_the_same() -> None:
    module, inputs = block(), torch.randn(1, 5, 8)
    expected = module(inputs)
    assert use_blocks(nn.Sequential(module)) == 1
    assert torch.equal(module(inputs), expected)
    assert use_blocks(nn.Sequential(module)) == 0


class _Scaled(LlamaMLP):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class _WithNorm(LlamaMLP):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(8)


@pytest.mark.parametrize("kind", [_Scaled, _WithNorm])
def test_other_blocks_are_left_alone(kind: Callable[[LlamaConfig], nn.Module]) -> None:
    config = LlamaConfig(hidden_size=8, intermediate_size=16, num_attention_heads=1)
    assert use_blocks(kind(config)) == 0
    assert use_blocks(block(hidden_act="gelu")) == 0


def test_the_blocks_of_a_base_are_found(load_tiny: Callable[[str], LoadedBase]) -> None:
    from sweep.training.packed.pack import Pack

    base = load_tiny("nf4 copied")
    Pack(base)
    blocks = [module for module in base.model.modules() if hasattr(module, "gate_proj")]
    assert blocks
    assert all("forward" in module.__dict__ for module in blocks)
