"""What training itself takes in memory, measured by one step's passes on the longest batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Adapted
from sweep.training.memory import PeakMemory


def training_peak(base: LoadedBase, adapted: Adapted, batch: Sequence[Encoded]) -> int:
    """The peak of memory in bytes, resident (CPU) or allocated (CUDA), of a training step on `batch`.

    Runs forward and backward with the dequantized copies set aside, and takes what they and the trial's neighbours hold off
    the figure, so it is the peak of a job that is alone and has no copies. Call once the optimizer has its state, with no
    gradients there; weights, gradients and the streams of random numbers are afterwards as they were.
    """
    peak = PeakMemory(base.device)
    devices = [base.device] if base.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), base.copies.set_aside():
        peak.start()
        with torch.enable_grad():
            adapted.training_pass(batch)
        most = peak.peak()
    return most - base.copies.bytes - adapted.neighbour_bytes


def longest_batch(ordered: Sequence[Encoded], size: int) -> Sequence[Encoded]:
    """Of the batches of `size` that `ordered` falls into, the one with the most tokens, padding included."""
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return max(batches, key=lambda batch: len(batch) * max(len(item) for item in batch))
