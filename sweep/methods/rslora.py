"""rsLoRA."""

from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import LORA_FIELDS, Method

METHOD = Method(
    name="rslora",
    title="rsLoRA",
    text="LoRA scaled by alpha / sqrt(rank), so that large ranks learn as fast as small ones",
    paper="Kalajdzievski 2023, arXiv:2312.03732",
    peft="LoraConfig",
    settings=lora_settings,
    lora=LORA_FIELDS,
    packed=True,
    cut=True,
    mergeable=True,
    rank_stabilized=True,
)
