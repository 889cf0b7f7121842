"""LoRA+."""

from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import LORA_FIELDS, Method
from sweep.methods.two_rates import TwoRates

METHOD = Method(
    name="lora_plus",
    title="LoRA+",
    text="LoRA whose B learns faster than A",
    paper="Hayou et al. 2024, arXiv:2402.12354",
    peft="LoraConfig",
    settings=lora_settings,
    lora=LORA_FIELDS,
    packed=True,
    cut=True,
    mergeable=True,
    keys=TwoRates,
)
