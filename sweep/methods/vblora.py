"""VB-LoRA."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class VbloraKeys:
    """The bank of vectors."""

    vectors: Annotated[int, Key("vectors in the bank", Limit(1, 65_536), example="256")] = 256
    length: Annotated[
        int, Key("length of a vector; divides the widths of all target modules", Limit(1, 65_536), example="64")
    ] = 64
    top: Annotated[int, Key("vectors of which a part of a matrix is mixed", Limit(1, 64), example="2")] = 2


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {
        "r": arm.rank,
        "num_vectors": own["vectors"],
        "vector_length": own["length"],
        "topk": own["top"],
        "vblora_dropout": arm.dropout,
        "target_modules": list(arm.targets),
    }


METHOD = Method(
    name="vblora",
    title="VB-LoRA",
    text="LoRA whose matrices are mixed from a bank of vectors that all modules share",
    paper="Li et al. 2024, arXiv:2405.15179",
    peft="VBLoRAConfig",
    settings=_settings,
    keys=VbloraKeys,
    lora=(RANK, DROPOUT, TARGETS),
    mergeable=True,
    starts_at_base=False,
    why_not={
        "starts_at_base": "its vectors start at random",
        "cut": "its matrices share their vectors",
        "packed": "its update is of another form than those that are packed",
    },
)
