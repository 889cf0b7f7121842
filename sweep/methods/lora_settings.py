"""PEFT's configuration of LoRA and of the methods that share it."""

from __future__ import annotations

from typing import Any

from sweep.methods.lora_scale import is_rank_stabilized
from sweep.methods.method import TrainingFacts
from sweep.methods.module_ranks import has_patterns, written_alphas
from sweep.records import Arm


def lora_settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    """The arguments of `peft.LoraConfig`."""
    settings: dict[str, Any] = {
        "r": arm.rank,
        "lora_alpha": arm.alpha,
        "lora_dropout": arm.dropout,
        "use_rslora": is_rank_stabilized(arm),
        "target_modules": list(arm.targets),
        "bias": "none",
    }
    if has_patterns(arm):
        settings |= {"rank_pattern": dict(arm.rank_pattern), "alpha_pattern": written_alphas(arm)}
    if arm.layers:
        settings["layers_to_transform"] = list(arm.layers)
    return settings
