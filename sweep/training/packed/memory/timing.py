"""How many trials side by side are fastest on a GPU, by the time of a step with 1, 2, 4, ... of them.

More slots pay off as long as a step waits for kernel launches and for reading the base; once the arithmetic fills the GPU, more slots take
proportionally longer. Where that is depends on the GPU, the base and the number of tokens, so it is measured once, when a study begins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from sweep.records import Arm, Stage, Training, TrialSpec
from sweep.training.device_errors import is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.memory import release
from sweep.training.packed.pack import Pack

SECONDS = 10.0
"""The measurement ends before a number of slots that would probably take it beyond this."""

TIMED_STEPS = 2
"""Timed steps per number of slots; the fastest counts. One more comes before them, in which libraries prepare."""

NEAR = 0.05
"""The smallest number of slots whose time per slot is within this of the best is chosen: fewer slots take less memory."""

_STEPS = 64
"""Steps of the trials that are timed, more than are ever taken."""

_RATE = 1e-6


def ladder(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    return sorted({most, *(1 << power for power in range(most.bit_length()))} - {0})


def fastest(timings: Mapping[int, float], most: int) -> int:
    """The smallest number of slots, at most `most`, whose throughput is within `NEAR` of the best of these.

    Args:
        timings: seconds of a step by number of slots. Without one that fits, the result is `most`.
    """
    per_slot = {slots: seconds / slots for slots, seconds in timings.items() if slots <= most}
    if not per_slot:
        return most
    best = min(per_slot.values())
    return min(slots for slots, seconds in per_slot.items() if seconds <= (1 + NEAR) * best)


def timed(
    numbers: Sequence[int],
    step: Callable[[int], None],
    clock: Callable[[], float] = time.perf_counter,
    allowed: float = SECONDS,
) -> dict[int, float]:
    """Times a step with each number of slots, in ascending order.

    Ends where memory runs out, or where the next number would probably exceed the allowed time.

    Args:
        step: takes one step with this number of slots and waits for its end.
        clock: seconds.
        allowed: seconds for the whole measurement.

    Returns:
        Seconds of the fastest step by number of slots.
    """
    started, timings = clock(), dict[int, float]()
    for index, slots in enumerate(numbers):
        if index and _next_end(clock() - started, timings, numbers[index - 1], slots) > allowed:
            break
        if (seconds := _fastest_step(lambda slots=slots: step(slots), clock)) is None:  # type: ignore[misc]
            break
        timings[slots] = seconds
    return timings


def _next_end(spent: float, timings: Mapping[int, float], last: int, slots: int) -> float:
    """When measuring `slots` would end, if a slot takes as long as with the number before."""
    return spent + (1 + TIMED_STEPS) * timings[last] * slots / last


def _fastest_step(step: Callable[[], None], clock: Callable[[], float]) -> float | None:
    """Seconds of the fastest of a few steps, or None if memory ran out."""
    fastest_step = math.inf
    try:
        step()
        for _ in range(TIMED_STEPS):
            begun = clock()
            step()
            fastest_step = min(fastest_step, clock() - begun)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fastest_step = math.inf
    if math.isinf(fastest_step):
        release()  # outside of the handler, since the exception holds the tensors of the failed step
        return None
    return fastest_step


def measured_timings(
    pack: Pack, arm: Arm, training: Training, seed: int, examples: Sequence[Encoded], most: int, device: torch.device
) -> dict[int, float]:
    """Seconds of a training step with 1, 2, 4, ... and `most` trials of an arm in the pack, which has none before and after.

    Args:
        examples: the training examples; the trials' seeds differ, as in a study.
    """
    with _trials(pack, arm, training, seed, examples) as hold:

        def step(slots: int) -> None:
            hold(slots)
            pack.step(lambda slot, loss: None)
            wait_for(device)

        return timed(ladder(most), step)


@contextmanager
def _trials(
    pack: Pack, arm: Arm, training: Training, seed: int, examples: Sequence[Encoded]
) -> Iterator[Callable[[int], None]]:
    """Yields a function that adds trials until the pack holds a given number; they are removed at the end."""
    # enough steps that none ends, at a rate at which none diverges; the number of passes per step is the study's
    arm = replace(arm, learning_rate=_RATE)
    recipe = replace(training, steps=_STEPS, schedule="constant", warmup_fraction=0.0)
    ordered = list(examples)

    def hold(slots: int) -> None:
        while len(pack.slots) < slots:
            number = len(pack.slots)
            spec = TrialSpec(f"timing {number}", "timing", Stage.EXPLORE, arm, recipe, seed + number)
            pack.add(spec, ordered)

    try:
        yield hold
    finally:
        for slot in list(pack.slots):
            pack.remove(slot)
        release()


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has done what it was given; a CPU has."""
    if device.type != "cpu":
        module: Any = torch.get_device_module(device)
        module.synchronize(device)
