"""LoKr."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import ALPHA, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import DROPOUT, Key, Limit


@dataclass(frozen=True, slots=True)
class LoKrKeys:
    """Parameters of LoKr."""

    factor: Annotated[
        int,
        Key(
            "size of the Kronecker product's first matrix; 0: near the square root of the width",
            Limit(0, 4096),
            example="8",
        ),
    ] = 0
    rank_dropout: Annotated[float, Key("share of the rank that is dropped in a step", DROPOUT, example="0.1")] = 0.0


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {
        "r": arm.rank,
        "alpha": arm.alpha,
        "target_modules": list(arm.targets),
        "decompose_factor": own["factor"] or -1,
        "rank_dropout": own["rank_dropout"],
    }


METHOD = Method(
    name="lokr",
    title="LoKr",
    text="the Kronecker product of a small matrix and a low-rank one",
    paper="Yeh et al. 2023, arXiv:2309.14859",
    peft="LoKrConfig",
    settings=_settings,
    keys=LoKrKeys,
    lora=(RANK, ALPHA, TARGETS),
    quants=("int8", "none"),
    mergeable=True,
    why_not={
        "cut": "its update is not a product of two matrices of rank r",
        "quants": "PEFT takes the shape of its update from the weight, which 4-bit storage flattens",
        "packed": "its update is of another form than those that are packed",
    },
)
