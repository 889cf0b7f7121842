"""Faster products with the frozen base's weights on a CPU: oneDNN for fp32 where it is faster, bf16, and dequantized copies of
4-bit weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from sweep.training.machine import cpu_vendor

SHARE_OF_FREE_MEMORY = 0.25
"""`quant.cache=auto` keeps copies if they take at most this share of the free memory."""


@cache
def onednn_is_available() -> bool:
    """Returns whether products can go through oneDNN with AVX-512."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@cache
def onednn_is_faster() -> bool:
    """Returns whether products go through oneDNN.

    On CPUs of other makers than Intel, MKL, which torch uses for fp32, leaves half of AVX-512 unused: 102 GFLOPS per core against
    235 with oneDNN (AMD EPYC with AVX-512, SmolLM2-135M, 112 to 1024 rows). On Intel's it is as fast or faster, and torch's own
    autograd costs less than ours: a training step on clinc_kitchen takes 15 % less, on fda_adr 6 % (Intel Xeon with AVX-512).
    Results are equal up to rounding. This is a fixed rule instead of a measurement, so that a result does not depend on the load
    of the machine.
    """
    return onednn_is_available() and cpu_vendor() != "GenuineIntel"


def speed_up(model: nn.Module, in_bfloat16: bool = False) -> None:
    """Makes the model's frozen linear modules use the products of this file.

    Args:
        in_bfloat16: compute their products in bf16 while all else stays fp32. Unquantized weights are then held in bf16; those of the
            output head, whose products are the logits, and of transformers' Conv1D stay as they are.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    for module in model.modules():
        if in_bfloat16 and isinstance(module, bnb.nn.Linear4bit):
            module.__dict__["forward"] = partial(_forward_dequantizing, module)
        elif type(module) is nn.Linear and not module.weight.requires_grad:
            if in_bfloat16 and module is not head:
                module.weight.data = module.weight.data.to(torch.bfloat16)
            module.__dict__["forward"] = partial(_forward, module)


def frozen_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`torch.nn.functional.linear` for a weight and a bias without gradients.

    On a CPU, with a weight in bf16 and inputs in fp32, the product is computed in bf16 and returned in fp32.
    """
    if _is_mixed(inputs, weight):
        return _in_bfloat16(inputs, lambda: weight, bias)
    is_fp32 = inputs.device.type == "cpu" and inputs.dtype == weight.dtype == torch.float32 and inputs.numel() > 0
    if is_fp32 and onednn_is_faster():
        product: torch.Tensor = _OneDNNLinear.apply(inputs, weight, bias)
        return product
    return functional.linear(inputs, weight, bias)


def _forward(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return frozen_linear(inputs, module.weight, module.bias)


def _forward_dequantizing(module: bnb.nn.Linear4bit, inputs: torch.Tensor) -> torch.Tensor:
    """As with a copy, but the weight is dequantized in each pass; bitsandbytes itself computes in the type of the inputs."""
    return _in_bfloat16(inputs, lambda: _dequantized(module, torch.bfloat16), module.bias)


def _is_mixed(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    return inputs.device.type == "cpu" and inputs.dtype == torch.float32 and weight.dtype == torch.bfloat16


def _in_bfloat16(inputs: torch.Tensor, weight: Callable[[], torch.Tensor], bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = _BFloat16Product.apply(inputs, weight)
    return product if bias is None else product + bias


class _OneDNNLinear(torch.autograd.Function):
    """inputs W^T + bias, with a gradient for the inputs only."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight = weight
        return _multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _multiply(gradients[0], ctx.weight.t(), None), None, None


class _BFloat16Product(torch.autograd.Function):
    """inputs W^T in bf16, for inputs in fp32; the gradient for the inputs is computed in bf16 too.

    The weight is a function: a dequantized one need not be in memory from the forward to the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: Callable[[], torch.Tensor]) -> torch.Tensor:
        ctx.weight = weight
        return functional.linear(inputs.to(torch.bfloat16), weight()).float()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return (gradients[0].to(torch.bfloat16) @ ctx.weight()).float(), None


def _multiply(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    flat = rows.detach().reshape(-1, rows.shape[-1]).contiguous()  # (rows, in_features)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        flat, weight.detach(), None if bias is None else bias.detach(), "none", [], ""
    )
    # not a view, so that an adapter's update can be added in place
    return torch.ops.aten._unsafe_view.default(product, (*rows.shape[:-1], weight.shape[0]))


def _dequantized(module: bnb.nn.Linear4bit, dtype: torch.dtype) -> torch.Tensor:
    weight: torch.Tensor = bnb_functional.dequantize_4bit(module.weight.data, module.weight.quant_state).to(dtype)
    return weight


class DequantizedCopies:
    """Dequantized copies of a model's 4-bit weights, kept where memory allows.

    On a CPU, dequantizing the 4-bit weights in each pass costs as much as a small batch. A copy holds exactly the
    dequantized values in the type of the products, so losses and gradients are those of QLoRA. Its memory does not count towards a
    trial's peak (`sweep.training.probe.training_peak`).

    Args:
        compute: the dtype of products with the frozen weights, and of the copies.

    Attributes:
        bytes: memory of the copies; 0 if none are kept.
    """

    def __init__(
        self,
        model: nn.Module,
        quant: Quantization,
        compute: torch.dtype,
        device: torch.device,
        memory_budget: int | None,
    ) -> None:
        modules = [module for module in model.modules() if isinstance(module, bnb.nn.Linear4bit)]
        self.bytes = sum(module.weight.quant_state.shape.numel() * compute.itemsize for module in modules)
        if not _keeps_copies(quant, device, self.bytes, memory_budget):
            modules, self.bytes = [], 0
        self._modules = modules
        self._weights = [_dequantized(module, compute) for module in modules]
        self._without = [module.__dict__.get("forward") for module in modules]
        self._install()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Context in which weights are dequantized in each pass, as without copies."""
        for module, forward in zip(self._modules, self._without, strict=True):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward
        try:
            yield
        finally:
            self._install()

    def _install(self) -> None:
        for module, weight in zip(self._modules, self._weights, strict=True):
            module.forward = partial(_linear, module, weight)


def _keeps_copies(quant: Quantization, device: torch.device, needed: int, memory_budget: int | None) -> bool:
    if quant.cache != "auto":
        return quant.cache == "always"
    if device.type != "cpu" or memory_budget is not None:
        return False
    return needed <= SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available


def _linear(module: bnb.nn.Linear4bit, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    rows = inputs if _is_mixed(inputs, weight) else inputs.to(weight.dtype)
    return frozen_linear(rows, weight, module.bias).to(inputs.dtype)
