"""Numbers of layers as people write them: `20-29`, or `[0,1,20-29]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MOST_LAYERS = 10_000
"""No model has as many; a longer range is a slip of the keyboard."""

_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")


def read_layers(value: Any) -> tuple[int, ...]:
    """The numbers in ascending order, each once; none for an empty list or null.

    Args:
        value: a number, a text such as `20-29` or `0,1,20-29`, or a list of either.

    Raises:
        ValueError: the value is of another form; the text says which.
    """
    entries = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    numbers: set[int] = set()
    for entry in entries:
        for word in str(entry).split(","):
            match = _RANGE.fullmatch(word.strip())
            if match is None:
                raise ValueError(f"'{word.strip()}' is no layer; write numbers and ranges, as in [0,1,20-29]")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise ValueError(f"'{word.strip()}' is empty; write {last}-{first}")
            if last >= MOST_LAYERS:
                raise ValueError(f"there is no layer {last}")
            numbers.update(range(first, last + 1))
    return tuple(sorted(numbers))


def layer_ranges(layers: Iterable[int]) -> str:
    """`0,1,20-29`: neighbours as ranges, as `read_layers` reads them."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
