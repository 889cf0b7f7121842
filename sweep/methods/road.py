"""RoAd."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class RoadKeys:
    """The rotations."""

    group: Annotated[
        int,
        Key(
            "outputs among which pairs are made; divides the outputs of all target modules",
            Limit(2, 65_536),
            example="32",
        ),
    ] = 64


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"group_size": dict(arm.own)["group"], "target_modules": list(arm.targets)}


METHOD = Method(
    name="road",
    title="RoAd",
    text="rotates and scales pairs of a module's outputs",
    paper="Liao and Monz 2024, arXiv:2409.00119",
    peft="RoadConfig",
    settings=_settings,
    keys=RoadKeys,
    lora=(TARGETS,),
    mergeable=True,
    why_not={
        "packed": "its update is of another form than those that are packed",
    },
)
