"""The scale of LoRA's update, in which its variants differ."""

from __future__ import annotations

import math

from sweep.methods.registry import methods
from sweep.records import Arm


def is_rank_stabilized(arm: Arm) -> bool:
    """Whether the update is scaled by alpha / sqrt(rank), PEFT's `use_rslora` (Kalajdzievski 2023, arXiv:2312.03732)."""
    method = methods().get(arm.method)  # a record may be of a version with other methods
    return method is not None and method.rank_stabilized


def scale(arm: Arm) -> float:
    """Factor of the update BA: alpha / rank, in rsLoRA alpha / sqrt(rank)."""
    return arm.alpha / math.sqrt(arm.rank) if is_rank_stabilized(arm) else arm.alpha_ratio


def scale_growth(arm: Arm) -> float:
    """Exponent p of `scale` ~ rank**p at a fixed `alpha_ratio`."""
    return 0.5 if is_rank_stabilized(arm) else 0.0
