"""GraLoRA."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import ALPHA, DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class GraloraKeys:
    """The blocks."""

    blocks: Annotated[
        int, Key("blocks per side of a weight; divides lora.r and all widths", Limit(1, 256), example="2")
    ] = 2


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {
        "r": arm.rank,
        "alpha": arm.alpha,
        "gralora_k": dict(arm.own)["blocks"],
        "gralora_dropout": arm.dropout,
        "target_modules": list(arm.targets),
    }


METHOD = Method(
    name="gralora",
    title="GraLoRA",
    text="a LoRA adapter of its own for each of k x k blocks of the weight",
    paper="Jung et al. 2025, arXiv:2505.20355",
    peft="GraloraConfig",
    settings=_settings,
    keys=GraloraKeys,
    lora=(RANK, ALPHA, DROPOUT, TARGETS),
    mergeable=True,
    why_not={
        "cut": "its blocks have an adapter each",
        "packed": "its update is of another form than those that are packed",
    },
)
