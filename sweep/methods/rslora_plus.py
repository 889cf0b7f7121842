"""rsLoRA with LoRA+."""

from sweep.methods.lora_settings import lora_settings
from sweep.methods.method import LORA_FIELDS, Method
from sweep.methods.two_rates import TwoRates

METHOD = Method(
    name="rslora_plus",
    title="rsLoRA with LoRA+",
    text="rsLoRA and LoRA+ combined",
    paper="Kalajdzievski 2023, arXiv:2312.03732; Hayou et al. 2024, arXiv:2402.12354",
    peft="LoraConfig",
    settings=lora_settings,
    lora=LORA_FIELDS,
    packed=True,
    cut=True,
    mergeable=True,
    rank_stabilized=True,
    keys=TwoRates,
)
