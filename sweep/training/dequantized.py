"""A dequantized copy of the 4-bit weights, kept where memory allows.

On a CPU a 4-bit weight is dequantized in every pass, which costs as much as a small batch itself. The copy holds the very
numbers that dequantization gives, so losses and gradients are those of QLoRA; what it takes is memory, which is never
counted as the job's own (`sweep.training.memory.ProbedMemory`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import bitsandbytes as bnb
import psutil
import torch
from bitsandbytes import functional as bnb_functional
from torch import nn

from sweep.records import Quantization
from sweep.training.frozen_linear import frozen_linear
from sweep.training.quantization import compute_dtype

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
