"""P-tuning."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class PTuningKeys:
    """The trained prompt and its encoder."""

    tokens: Annotated[int, Key("virtual tokens before the prompt", Limit(1, 4096), example="16")] = 16
    hidden: Annotated[
        int, Key("width of the network that makes the virtual tokens; it is not stored", Limit(1, 65_536))
    ] = 128


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {"num_virtual_tokens": own["tokens"], "encoder_hidden_size": own["hidden"]}


METHOD = Method(
    name="p_tuning",
    title="P-tuning",
    text="prompt tuning whose virtual tokens are made by a small network, which is trained and then dropped",
    paper="Liu et al. 2021, arXiv:2103.10385",
    peft="PromptEncoderConfig",
    settings=_settings,
    keys=PTuningKeys,
    space={"tokens": (4, 8, 16, 32)},
    virtual_tokens=True,
    starts_at_base=False,
    why_not={
        "starts_at_base": "its virtual tokens change what the model computes from the start",
        "packed": "the network that makes its virtual tokens is trained with them",
    },
)
