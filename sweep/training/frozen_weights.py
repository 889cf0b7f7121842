"""Faster products with the frozen base's weights on a CPU: oneDNN for fp32 where it is faster, and dequantized copies of 4-bit weights."""

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
from sweep.training.machine import cpu_vendor
from sweep.training.quantization import compute_dtype

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


def frozen_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`torch.nn.functional.linear` for a weight and a bias without gradients."""
    is_fp32 = inputs.device.type == "cpu" and inputs.dtype == weight.dtype == torch.float32 and inputs.numel() > 0
    if is_fp32 and onednn_is_faster():
        product: torch.Tensor = _OneDNNLinear.apply(inputs, weight, bias)
        return product
    return functional.linear(inputs, weight, bias)


def speed_up(model: nn.Module) -> None:
    """Makes the model's frozen, unquantized linear modules use `frozen_linear`."""
    for module in model.modules():
        if type(module) is nn.Linear and not module.weight.requires_grad:
            module.__dict__["forward"] = partial(_forward, module)


def _forward(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return frozen_linear(inputs, module.weight, module.bias)


class _OneDNNLinear(torch.autograd.Function):
    """inputs W^T + bias, with a gradient for the inputs only."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight = weight
        return _multiply(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _multiply(gradients[0], ctx.weight.t(), None), None, None


def _multiply(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    flat = rows.detach().reshape(-1, rows.shape[-1]).contiguous()  # (rows, in_features)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        flat, weight.detach(), None if bias is None else bias.detach(), "none", [], ""
    )
    # not a view, so that an adapter's update can be added in place
    return torch.ops.aten._unsafe_view.default(product, (*rows.shape[:-1], weight.shape[0]))


class DequantizedCopies:
    """Dequantized copies of a model's 4-bit weights, kept where memory allows.

    On a CPU, dequantizing the 4-bit weights in each pass costs as much as a small batch. A copy holds exactly the
    dequantized values, so losses and gradients are those of QLoRA. Its memory does not count towards a trial's peak
    (`sweep.training.probe.training_peak`).

    Attributes:
        bytes: memory of the copies; 0 if none are kept.
    """

    def __init__(self, model: nn.Module, quant: Quantization, device: torch.device, memory_budget: int | None) -> None:
        modules = [module for module in model.modules() if isinstance(module, bnb.nn.Linear4bit)]
        dtype = compute_dtype(device)
        self.bytes = sum(module.weight.quant_state.shape.numel() * dtype.itemsize for module in modules)
        if not _keeps_copies(quant, device, self.bytes, memory_budget):
            modules, self.bytes = [], 0
        self._modules = modules
        self._weights = [
            bnb_functional.dequantize_4bit(module.weight.data, module.weight.quant_state).to(dtype)
            for module in modules
        ]
        self._install()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Context in which weights are dequantized in each pass, as without copies."""
        for module in self._modules:
            module.__dict__.pop("forward", None)
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
    return frozen_linear(inputs.to(weight.dtype), weight, module.bias).to(inputs.dtype)
