"""Full fine-tuning."""

from typing import Any

from sweep.methods.method import Method, TrainingFacts
from sweep.records import Arm


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    return {}


METHOD = Method(
    name="full",
    title="full fine-tuning",
    text="trains every weight of the base; the baseline that adapters are compared with",
    paper="Howard and Ruder 2018, arXiv:1801.06146",
    peft=None,
    settings=_settings,
    quants=("none",),
    float32=True,
    why_not={
        "float32": "bfloat16 rounds the weights too coarsely for small steps",
        "quants": "quantized weights cannot be trained",
        "packed": "it has no frozen base that trials could share",
    },
)
