"""How fast a device multiplies matrices like those of a small base with a batch of short examples."""

from __future__ import annotations

import time

import torch

from sweep.training.machine import pick_device

_ROWS, _INPUTS, _OUTPUTS = 256, 576, 1536
_TRIES, _REPEATS = 40, 3
"""The fastest of the tries counts, which another process's work does not slow down; each is the mean of a few products."""


def product_rates(device: str, threads: int) -> dict[str, float]:
    """Operations per second by type, `float32` and `bfloat16`. Takes a moment.

    Args:
        device: torch's name, or `auto`.
        threads: CPU threads of a worker; those of this process are as before afterwards.
    """
    place = pick_device(device)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        return {
            name: _rate(place, number) for name, number in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
        }
    finally:
        torch.set_num_threads(before)


def _rate(place: torch.device, number: torch.dtype) -> float:
    rows = torch.ones(_ROWS, _INPUTS, device=place, dtype=number)
    weight = torch.ones(_OUTPUTS, _INPUTS, device=place, dtype=number)
    best = float("inf")
    for _ in range(_TRIES):
        _wait(place)
        started = time.perf_counter()
        for _ in range(_REPEATS):
            torch.nn.functional.linear(rows, weight)
        _wait(place)
        best = min(best, (time.perf_counter() - started) / _REPEATS)
    return 2 * _ROWS * _INPUTS * _OUTPUTS / best


def _wait(place: torch.device) -> None:
    if place.type != "cpu":
        torch.accelerator.synchronize()
