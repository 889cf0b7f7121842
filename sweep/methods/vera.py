"""VeRA."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class VeraKeys:
    """The start of VeRA's vectors."""

    d_initial: Annotated[
        float, Key("value that the entries of the inner vector start with", Limit(0, 1000, above=True), example="0.1")
    ] = 0.1


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {
        "r": arm.rank,
        "vera_dropout": arm.dropout,
        "target_modules": list(arm.targets),
        "d_initial": dict(arm.own)["d_initial"],
        "projection_prng_key": 0,
        # drawn again, they would depend on the version and device of torch
        "save_projection": True,
    }


METHOD = Method(
    name="vera",
    title="VeRA",
    text="LoRA with fixed random matrices that all modules share; trains two vectors for each module",
    paper="Kopiczko et al. 2023, arXiv:2310.11454",
    peft="VeraConfig",
    settings=_settings,
    keys=VeraKeys,
    lora=(RANK, DROPOUT, TARGETS),
    mergeable=True,
    why_not={
        "cut": "its matrices are random and not ordered by what they matter",
        "packed": "its update is of another form than those that are packed",
    },
)
