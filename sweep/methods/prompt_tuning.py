"""Prompt tuning."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit

_INITIAL = {"vocabulary": "SAMPLE_VOCAB", "random": "RANDOM"}


@dataclass(frozen=True, slots=True)
class PromptTuningKeys:
    """The trained prompt."""

    tokens: Annotated[int, Key("virtual tokens before the prompt", Limit(1, 4096), example="16")] = 16
    init: Annotated[
        str,
        Key(
            "what virtual tokens start as: words drawn from the vocabulary, or random vectors", choices=tuple(_INITIAL)
        ),
    ] = "vocabulary"


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {"num_virtual_tokens": own["tokens"], "prompt_tuning_init": _INITIAL[str(own["init"])]}


METHOD = Method(
    name="prompt_tuning",
    title="prompt tuning",
    text="trains the embeddings of a few virtual tokens before the prompt; the smallest adapter here",
    paper="Lester et al. 2021, arXiv:2104.08691",
    peft="PromptTuningConfig",
    settings=_settings,
    keys=PromptTuningKeys,
    space={"tokens": (4, 8, 16, 32)},
    virtual_tokens=True,
    packed=True,
    starts_at_base=False,
    why_not={"starts_at_base": "its virtual tokens change what the model computes from the start"},
)
