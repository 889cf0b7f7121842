"""LLaMA-Adapter."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class AdaptionPromptKeys:
    """The prompts in the upper layers."""

    tokens: Annotated[int, Key("virtual tokens before the prompt", Limit(1, 4096), example="16")] = 10
    layers: Annotated[int, Key("layers that get a prompt, counted from the top", Limit(1, 1024), example="2")] = 2


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {"adapter_len": own["tokens"], "adapter_layers": own["layers"]}


METHOD = Method(
    name="adaption_prompt",
    title="LLaMA-Adapter",
    text="prompts in the attention of the upper layers, behind gates that start closed; Llama, Mistral and GPT-2 only",
    paper="Zhang et al. 2023, arXiv:2303.16199",
    peft="AdaptionPromptConfig",
    settings=_settings,
    keys=AdaptionPromptKeys,
    space={"tokens": (5, 10, 20)},
    float32=True,
    why_not={
        "float32": "PEFT multiplies the weights of the attention in the type of the inputs",
        "packed": "it replaces the attention of whole layers",
    },
)
