"""LoHa."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import ALPHA, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import DROPOUT, Key


@dataclass(frozen=True, slots=True)
class LoHaKeys:
    """Parameters of LoHa."""

    rank_dropout: Annotated[float, Key("share of the rank that is dropped in a step", DROPOUT, example="0.1")] = 0.0


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {
        "r": arm.rank,
        "alpha": arm.alpha,
        "target_modules": list(arm.targets),
        "rank_dropout": own["rank_dropout"],
    }


METHOD = Method(
    name="loha",
    title="LoHa",
    text="the element-wise product of two low-rank updates, whose rank is up to the square of r",
    paper="Hyeon-Woo et al. 2021, arXiv:2108.06098",
    peft="LoHaConfig",
    settings=_settings,
    keys=LoHaKeys,
    lora=(RANK, ALPHA, TARGETS),
    quants=("int8", "none"),
    mergeable=True,
    why_not={
        "cut": "its update is not a product of two matrices of rank r",
        "quants": "PEFT takes the shape of its update from the weight, which 4-bit storage flattens",
        "packed": "its update is of another form than those that are packed",
    },
)
