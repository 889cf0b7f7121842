"""The peak memory of one training step of one trial, whatever else its process holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel
from sweep.training.machine import kind_of
from sweep.training.memory import PeakMemory


def training_peak(base: LoadedBase, adapted: AdaptedModel, batch: Sequence[Encoded]) -> int:
    """Peak memory in bytes, resident (CPU) or allocated (GPU), of a training step of this trial alone.

    Measures a forward and backward pass on `batch` without the dequantized copies, and subtracts the memory of the copies
    and of the other trials in this process. Call it when the optimizer has its state and there are no gradients. Weights,
    gradients and random streams are unchanged afterwards.
    """
    peak = PeakMemory(base.device)
    devices = [base.device] if kind_of(base.device).is_gpu else []
    with torch.random.fork_rng(devices, device_type=base.device.type), base.copies.set_aside():
        peak.start()
        with torch.enable_grad():
            adapted.training_pass(batch)
        measured = peak.peak()
    return measured - base.copies.bytes - adapted.neighbour_bytes
