"""DeLoRA."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class DeloraKeys:
    """The length of the update."""

    bound: Annotated[float, Key("initial bound of the update's norm", Limit(0, 10_000, above=True), example="15")] = (
        15.0
    )


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"r": arm.rank, "delora_lambda": dict(arm.own)["bound"], "target_modules": list(arm.targets)}


METHOD = Method(
    name="delora",
    title="DeLoRA",
    text="LoRA whose update has a normalized direction and a trained, bounded length",
    paper="Bini et al. 2025, arXiv:2503.18225",
    peft="DeloraConfig",
    settings=_settings,
    keys=DeloraKeys,
    lora=(RANK, TARGETS),
    quants=("none",),
    mergeable=True,
    why_not={
        "cut": "its columns are normalized",
        "quants": "PEFT takes the norms of the stored weight, and does not dequantize it",
        "packed": "its update is of another form than those that are packed",
    },
)
