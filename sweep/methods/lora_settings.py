"""PEFT's configuration of LoRA and of the methods that share it."""

from __future__ import annotations

from typing import Any

from sweep.methods.lora_scale import is_rank_stabilized
from sweep.methods.method import TrainingFacts
from sweep.records import Arm


def lora_settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    """The arguments of `peft.LoraConfig`."""
    return {
        "r": arm.rank,
        "lora_alpha": arm.alpha,
        "lora_dropout": arm.dropout,
        "use_rslora": is_rank_stabilized(arm),
        "target_modules": list(arm.targets),
        "bias": "none",
    }
