"""DoRA."""

from typing import Any

from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import LORA_FIELDS, Method, TrainingFacts
from sweep.records import Arm


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {**lora_settings(arm, facts), "use_dora": True}


METHOD = Method(
    name="dora",
    title="DoRA",
    text="LoRA for the direction of each weight's columns, and a trained magnitude for each",
    paper="Liu et al. 2024, arXiv:2402.09353",
    peft="LoraConfig",
    settings=_settings,
    lora=LORA_FIELDS,
    quants=("nf4", "fp4", "none"),
    mergeable=True,
    why_not={
        "cut": "its magnitudes were trained with the update of the full rank",
        "quants": "PEFT cannot take the norm of 8-bit columns",
        "packed": "its update depends on the norm of the whole adapted weight",
    },
)
