"""Products with frozen weights on a CPU, through oneDNN.

Torch multiplies fp32 matrices through MKL, which on CPUs that are not Intel's leaves half of AVX-512 unused: 102 GFLOPS a
core against oneDNN's 235 where this was measured (AMD EPYC with AVX-512, products of SmolLM2-135M, 112 to 1024 rows). The
numbers are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import bitsandbytes as bnb
import psutil
import torch
from bitsandbytes import functional as bnb_functional
from torch import nn
from torch.nn import functional

from sweep.records import Quantization
from sweep.training.quantization import compute_dtype


@cache
def onednn_is_faster() -> bool:
    """Whether products go through oneDNN: a rule and no measurement, so that a result does not depend on the moment."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def frozen_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`torch.nn.functional.linear` for a weight and a bias that get no gradient."""
    suited = inputs.device.type == "cpu" and inputs.dtype == weight.dtype == torch.float32 and inputs.numel() > 0
    if suited and onednn_is_faster():
        product: torch.Tensor = _Product.apply(inputs, weight, bias)
        return product
    return functional.linear(inputs, weight, bias)


def speed_up(model: nn.Module) -> None:
    """Makes the model's frozen, unquantized linear modules use `frozen_linear`."""
    for module in model.modules():
        if type(module) is nn.Linear and not module.weight.requires_grad:
            module.__dict__["forward"] = partial(_forward, module)


def _forward(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return frozen_linear(inputs, module.weight, module.bias)


class _Product(torch.autograd.Function):
    """inputs W^T + bias; the gradient reaches the inputs only."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight = weight
        return _multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _multiply(gradients[0], ctx.weight.t(), None), None, None


def _multiply(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    flat = rows.detach().reshape(-1, rows.shape[-1]).contiguous()
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        flat, weight.detach(), None if bias is None else bias.detach(), "none", [], ""
    )
    return product.view(*rows.shape[:-1], -1)


SHARE_OF_FREE_MEMORY = 0.25
"""`quant.cache=auto` keeps a copy if it takes no more than this share of the memory that is free."""


class DequantizedCopies:
    """The copies of one model's 4-bit weights; empty where none are kept.

    Attributes:
        bytes: what the copies take.
    """

    def __init__(self, model: nn.Module, quant: Quantization, device: torch.device, memory_budget: int | None) -> None:
        modules = [module for module in model.modules() if isinstance(module, bnb.nn.Linear4bit)]
        dtype = compute_dtype(device)
        self.bytes = sum(module.weight.quant_state.shape.numel() * dtype.itemsize for module in modules)
        if not _wanted(quant, device, self.bytes, memory_budget):
            modules, self.bytes = [], 0
        self._modules = modules
        self._weights = [
            bnb_functional.dequantize_4bit(module.weight.data, module.weight.quant_state).to(dtype)
            for module in modules
        ]
        self._use()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Within, weights are dequantized in every pass, as without copies."""
        for module in self._modules:
            module.__dict__.pop("forward", None)
        try:
            yield
        finally:
            self._use()

    def _use(self) -> None:
        for module, weight in zip(self._modules, self._weights, strict=True):
            module.forward = partial(_linear, module, weight)


def _wanted(quant: Quantization, device: torch.device, needed: int, memory_budget: int | None) -> bool:
    if quant.cache != "auto":
        return quant.cache == "always"
    if device.type != "cpu" or memory_budget is not None:
        return False
    return needed <= SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available


def _linear(module: bnb.nn.Linear4bit, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    return frozen_linear(inputs.to(weight.dtype), weight, module.bias).to(inputs.dtype)
