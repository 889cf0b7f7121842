"""How fast this machine multiplies: the model's own products, one after the other, and nothing else.

As many processes as there are workers do it at the same time, each with a worker's threads, through the call that training uses
(`sweep.training.frozen_weights`), and every weight has memory of its own, as in a model. The rate is what training could
reach if all that is not such a product cost nothing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

from benchmarks.arithmetic import Shapes

_SECONDS = 4.0


def roof(
    shapes: Shapes, tokens: int, predictions: int, *, backward: bool, processes: int, threads: int, device: str
) -> float:
    """Operations a second of all processes together, in units of 1e9.

    Args:
        tokens: rows of the layers' products.
        predictions: rows of the output head's.
        backward: whether each product is followed by that of its inputs' gradient.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    arguments = (shapes, tokens, predictions, backward, threads, device, barrier, results)
    children = [context.Process(target=_multiply, args=arguments) for _ in range(processes)]
    for child in children:
        child.start()
    rates = [results.get() for _ in children]
    for child in children:
        child.join()
    return float(sum(rates))


def _multiply(
    shapes: Shapes,
    tokens: int,
    predictions: int,
    backward: bool,
    threads: int,
    device: str,
    barrier: Barrier,
    results: Any,
) -> None:
    from sweep.training.machine import quiet_libraries

    quiet_libraries()
    import torch

    torch.set_num_threads(threads)
    products, operations = _products(shapes, tokens, predictions, backward, torch.device(device))
    with torch.no_grad():
        _pass(products, device)
        barrier.wait()
        clock, passes = time.perf_counter(), 0
        while time.perf_counter() - clock < _SECONDS:
            _pass(products, device)
            passes += 1
        seconds = time.perf_counter() - clock
    results.put(operations * passes / seconds / 1e9)


def _products(
    shapes: Shapes, tokens: int, predictions: int, backward: bool, device: Any
) -> tuple[list[Callable[[], Any]], int]:
    """Forward through the layers and the head, then back; and how many operations that is."""
    import torch

    from sweep.config.compute import with_compute_type
    from sweep.records import Quantization
    from sweep.training.frozen_weights import frozen_linear
    from sweep.training.quantization import compute_dtype, model_dtype

    compute = compute_dtype(with_compute_type(Quantization(), device.type), device)
    dtype, rows = model_dtype(compute, device), {}

    def some(count: int, width: int) -> torch.Tensor:
        if (count, width) not in rows:
            rows[count, width] = torch.rand(count, width, dtype=dtype, device=device)
        return rows[count, width]

    def product(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], Any]:
        return lambda: frozen_linear(inputs, weight, None)

    there, back, operations = [], [], 0
    entries = [(tokens, *shape, shapes.reaches(name), compute) for name, shape in shapes.linear.items()]
    for count, inputs, outputs, reaches, stored in [*entries, (predictions, *shapes.head, True, dtype)]:
        weight = torch.rand(outputs, inputs, dtype=stored, device=device)
        there.append(product(some(count, inputs), weight))
        operations += 2 * count * inputs * outputs
        if backward and reaches:
            back.append(product(some(count, outputs), weight.t()))
            operations += 2 * count * inputs * outputs
    return [*there, *reversed(back)], operations


def _pass(products: list[Callable[[], Any]], device: str) -> None:
    for product in products:
        product()
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
