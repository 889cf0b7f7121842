"""Prefix tuning."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class PrefixTuningKeys:
    """The trained prefix."""

    tokens: Annotated[int, Key("virtual tokens before the prompt", Limit(1, 4096), example="16")] = 16
    initial_scale: Annotated[
        float,
        Key(
            "factor of PEFT's first prefix, which is drawn from N(0, 1) and disturbs the model more than it can learn",
            Limit(1e-6, 100),
        ),
    ] = 0.1


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {"num_virtual_tokens": dict(arm.own)["tokens"]}


METHOD = Method(
    name="prefix_tuning",
    title="prefix tuning",
    text="trains keys and values of virtual tokens in every layer",
    paper="Li and Liang 2021, arXiv:2101.00190",
    peft="PrefixTuningConfig",
    settings=_settings,
    keys=PrefixTuningKeys,
    space={"tokens": (4, 8, 16, 32)},
    virtual_tokens=True,
    packed=True,
    checkpointing=False,
    starts_at_base=False,
    why_not={
        "starts_at_base": "its virtual tokens change what the model computes from the start",
        "checkpointing": "a checkpointed layer drops the cache that holds the prefix",
    },
)
