"""LoRA."""

from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import LORA_FIELDS, Method

METHOD = Method(
    name="lora",
    title="LoRA",
    text="adds the product of two low-rank matrices to each target module, scaled by alpha / rank",
    paper="Hu et al. 2021, arXiv:2106.09685",
    peft="LoraConfig",
    settings=lora_settings,
    lora=LORA_FIELDS,
    packed=True,
    cut=True,
    mergeable=True,
)
