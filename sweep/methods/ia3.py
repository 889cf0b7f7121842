"""IA3."""

from typing import Any

from sweep.methods.method import TARGETS, Method, TrainingFacts
from sweep.records import Arm

FEEDFORWARD = ("down_proj", "fc2", "c_proj", "wo", "w2", "dense_4h_to_h")
"""Names of the modules that end a feed-forward block; their inputs are scaled, of other modules the outputs."""


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    ends = [target for target in arm.targets if target.rsplit(".", 1)[-1] in FEEDFORWARD]
    return {"target_modules": list(arm.targets), "feedforward_modules": ends}


METHOD = Method(
    name="ia3",
    title="IA3",
    text="trains one factor for each output (feed-forward: input) of the target modules",
    paper="Liu et al. 2022, arXiv:2205.05638",
    peft="IA3Config",
    settings=_settings,
    lora=(TARGETS,),
    packed=True,
    mergeable=True,
)
