"""AdaLoRA."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import ALPHA, DROPOUT, RANK, TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class AdaLoraKeys:
    """AdaLoRA's schedule of ranks."""

    initial_ratio: Annotated[
        float, Key("rank that the training starts with, divided by lora.r", Limit(1, 64), example="1.5")
    ] = 1.5
    initial_share: Annotated[
        float, Key("share of the steps before ranks are reduced", Limit(0, 0.5), example="0.1")
    ] = 0.1
    final_share: Annotated[float, Key("share of the steps after the ranks are final", Limit(0, 0.5), example="0.3")] = (
        0.3
    )
    orthogonality: Annotated[
        float, Key("weight of the penalty that keeps A and B orthogonal; part of the training loss", Limit(0, 100))
    ] = 0.5


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    steps = max(facts.steps, 1)
    initial = int(float(own["initial_share"]) * steps)
    return {
        "init_r": max(arm.rank, round(float(own["initial_ratio"]) * arm.rank)),
        "target_r": arm.rank,
        "lora_alpha": arm.alpha,
        "lora_dropout": arm.dropout,
        "target_modules": list(arm.targets),
        "tinit": initial,
        # PEFT wants a step between both
        "tfinal": max(0, min(int(float(own["final_share"]) * steps), steps - initial - 1)),
        "deltaT": 1,
        "orth_reg_weight": float(own["orthogonality"]),
        "total_step": steps,
    }


METHOD = Method(
    name="adalora",
    title="AdaLoRA",
    text="LoRA as a singular value decomposition that moves rank to the modules that need it; lora.r is the mean rank",
    paper="Zhang et al. 2023, arXiv:2303.10512",
    peft="AdaLoraConfig",
    settings=_settings,
    keys=AdaLoraKeys,
    lora=(RANK, ALPHA, DROPOUT, TARGETS),
    mergeable=True,
    starts_at_base=False,
    stops_early=False,
    why_not={
        "starts_at_base": "its singular values start at random",
        "stops_early": "it spreads its ranks over all steps",
        "cut": "its modules have different ranks already",
        "packed": "its ranks change during the training",
    },
)
