"""HRA."""

from typing import Any

from sweep.methods.method import RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"r": arm.rank, "target_modules": list(arm.targets)}


METHOD = Method(
    name="hra",
    title="HRA",
    text="rotates the inputs of the target modules by r reflections",
    paper="Yuan et al. 2024, arXiv:2405.17484",
    peft="HRAConfig",
    settings=_settings,
    lora=(RANK, TARGETS),
    quants=("none",),
    mergeable=True,
    why_not={
        "cut": "its reflections follow one another",
        "quants": "PEFT multiplies the stored weight by the reflections, and does not dequantize it",
        "packed": "its update is of another form than those that are packed",
    },
)
