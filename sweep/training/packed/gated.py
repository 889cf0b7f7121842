"""SiLU(gate) * up on a CPU, the step between the products of a gated feed-forward block, in one pass over memory.

Gate and up are the widest arrays of a layer. Computed whole, each operation sends them through memory again, and the backward pass
needs SiLU(gate) kept. Here a few rows at a time go through all operations while they are in the core's cache, and the backward pass
computes SiLU(gate) again.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_BLOCK_NUMBERS = 1 << 17
"""About the numbers of each array that are processed at a time (512 KB in fp32)."""

_PRODUCTS = ("gate_proj", "up_proj", "down_proj")


def silu_times(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """SiLU(gate) * up for arrays of one shape (..., features), bit by bit as torch computes it."""
    product: torch.Tensor = _SiluTimes.apply(gate.contiguous(), up.contiguous())
    return product


def use_blocks(model: nn.Module) -> int:
    """Makes the model's gated blocks use `silu_times`; returns how many there are.

    A gated block is a module with the products `gate_proj`, `up_proj`, `down_proj` and SiLU, and nothing else, whose class computes
    down(SiLU(gate) * up). Other modules are left alone.
    """
    blocks = [module for module in model.modules() if _is_gated(module)]
    for module in blocks:
        module.__dict__["forward"] = partial(_forward, module)
    return len(blocks)


def _forward(module: Any, inputs: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = module.down_proj(silu_times(module.gate_proj(inputs), module.up_proj(inputs)))
    return output


def _is_gated(module: nn.Module) -> bool:
    products = [getattr(module, name, None) for name in _PRODUCTS]
    has_parts = all(isinstance(each, nn.Linear) and each.weight.device.type == "cpu" for each in products)
    # with other parts, such as a norm, it computes something else
    if not has_parts or len(list(module.children())) != len(_PRODUCTS) + 1 or "forward" in module.__dict__:
        return False
    return _is_silu(getattr(module, "act_fn", None)) and _computes_gated(type(module))


def _computes_gated(kind: type[nn.Module]) -> bool:
    """Whether the forward method of a class is down(SiLU(gate) * up), tried with small products in place of a module's own.

    A 4-bit product must not run here: in evaluation mode it would be repacked (`sweep.training.quantization`).
    """
    matrices = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    parts: dict[str, Any] = {name: matrix.matmul for name, matrix in zip(_PRODUCTS, matrices, strict=True)}
    stand_in = SimpleNamespace(**parts, act_fn=functional.silu)
    inputs = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    try:
        found = kind.forward(stand_in, inputs)
    except (TypeError, AttributeError):  # it needs something else
        return False
    return isinstance(found, torch.Tensor) and torch.allclose(found, _forward(stand_in, inputs))


def _is_silu(activation: object) -> bool:
    return isinstance(activation, nn.SiLU) or type(activation).__name__ == "SiLUActivation"


class _SiluTimes(torch.autograd.Function):
    """With s = SiLU(gate) and the gradient g: d up = g s, d gate = SiLU'(gate) g up."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        product = torch.empty_like(gate)
        for own_gate, own_up, own in _in_blocks(gate, up, product):
            torch.ops.aten.silu.out(own_gate, out=own)
            own.mul_(own_up)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
        arrays = (gate, up, gradients[0].contiguous(), of_gate, of_up)
        for own_gate, own_up, own_gradient, own_of_gate, own_of_up in _in_blocks(*arrays):
            torch.ops.aten.silu.out(own_gate, out=own_of_up)
            own_of_up.mul_(own_gradient)
            torch.mul(own_gradient, own_up, out=own_of_gate)
            torch.ops.aten.silu_backward.grad_input(own_of_gate, own_gate, grad_input=own_of_gate)
        return of_gate, of_up


def _in_blocks(*arrays: torch.Tensor) -> Any:
    """The same rows of each array, a few at a time."""
    rows = max(1, _BLOCK_NUMBERS // arrays[0].shape[-1])
    return zip(*(array.view(-1, array.shape[-1]).split(rows) for array in arrays), strict=True)
