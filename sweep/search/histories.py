"""Learning curves, short enough to be kept with a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.records import StepLoss, to_json

_POINTS = 50


def thinned(history: Sequence[StepLoss]) -> list[dict[str, Any]]:
    """At most about fifty evenly spaced steps, the last one included; each the mean loss since the one before."""
    width = max(1, -(-len(history) // _POINTS))
    kept: list[dict[str, Any]] = []
    for start in range(0, len(history), width):
        some = history[start : start + width]
        mean = sum(step.loss for step in some) / len(some)
        kept.append(to_json(StepLoss(some[-1].step, mean, some[-1].learning_rate)))
    return kept
