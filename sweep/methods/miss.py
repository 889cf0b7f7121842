"""MiSS."""

from typing import Any

from sweep.methods.method import DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"r": arm.rank, "miss_dropout": arm.dropout, "target_modules": list(arm.targets)}


METHOD = Method(
    name="miss",
    title="MiSS",
    text="adds one small matrix to each block of the weight",
    paper="Kang and Yin 2024, arXiv:2409.15371",
    peft="MissConfig",
    settings=_settings,
    lora=(RANK, DROPOUT, TARGETS),
    mergeable=True,
    why_not={
        "cut": "its update is one matrix, repeated",
        "packed": "its update is of another form than those that are packed",
    },
)
