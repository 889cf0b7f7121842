"""RandLoRA."""

from typing import Any

from sweep.methods.method import ALPHA, DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {
        "r": arm.rank,
        "randlora_alpha": arm.alpha,
        "randlora_dropout": arm.dropout,
        "target_modules": list(arm.targets),
        "projection_prng_key": 0,
        # drawn again, they would depend on the version and device of torch
        "save_projection": True,
    }


METHOD = Method(
    name="randlora",
    title="RandLoRA",
    text="sums products of fixed random matrices, scaled by trained vectors; a smaller r trains more",
    paper="Albert et al. 2025, arXiv:2502.00987",
    peft="RandLoraConfig",
    settings=_settings,
    lora=(RANK, ALPHA, DROPOUT, TARGETS),
    mergeable=True,
    why_not={
        "cut": "its matrices are random and not ordered by what they matter",
        "packed": "its update is of another form than those that are packed",
    },
)
