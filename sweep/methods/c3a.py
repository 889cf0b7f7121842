"""C3A."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class C3aKeys:
    """The circulant blocks."""

    block: Annotated[
        int, Key("width of the blocks; divides the widths of all target modules", Limit(1, 4096), example="8")
    ] = 64


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"block_size": dict(arm.own)["block"], "target_modules": list(arm.targets)}


METHOD = Method(
    name="c3a",
    title="C3A",
    text="adds a matrix of circulant blocks, whose products are convolutions",
    paper="Chen et al. 2024, arXiv:2407.19342",
    peft="C3AConfig",
    settings=_settings,
    keys=C3aKeys,
    lora=(TARGETS,),
    mergeable=True,
    starts_at_base=False,
    why_not={
        "starts_at_base": "its blocks start at random",
        "packed": "its update is of another form than those that are packed",
    },
)
