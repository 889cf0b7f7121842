"""How an arm's method is named for people."""

from __future__ import annotations

from sweep.methods.module_ranks import pattern_words
from sweep.methods.registry import methods
from sweep.records import Arm
from sweep.records.quants import base_words

LORA_VARIANTS = ("lora", "rslora", "lora_plus", "rslora_plus")
"""Methods whose adapters are named by their rank alone."""

LORA_FAMILY = (*LORA_VARIANTS, "dora", "adalora")
"""Methods that add a product of two low-rank matrices, whose rank limits what they can learn."""


FULL = "full"
"""The method that leaves no adapter, but all weights."""


def title_of(arm: Arm) -> str:
    """The method's name for use in a sentence; its key if this version does not know it."""
    method = methods().get(arm.method)
    return arm.method if method is None else method.title


def own_words(arm: Arm) -> str:
    """`tokens 16, init vocabulary`, or `down_proj rank 16, layers 15-29`; nothing for an arm without parameters of its own."""
    own = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in arm.own]
    return ", ".join(filter(None, [*own, pattern_words(arm)]))


def arm_words(arm: Arm) -> str:
    """`rank 8`, `rank 8 on nf4 (layers 15-29)`, `DoRA at rank 8` or `prompt tuning (tokens 16)`."""
    of_method = f"rank {arm.rank}" if arm.method in LORA_VARIANTS else title_of(arm)
    if arm.method not in LORA_VARIANTS and arm.rank:
        of_method += f" at rank {arm.rank}"
    own = own_words(arm)
    return of_method + on_own_base(arm) + (f" ({own})" if own else "")


def on_own_base(arm: Arm) -> str:
    """` on nf4`; nothing for an arm on the study's base."""
    return "" if arm.quant is None else f" {base_words(arm.quant)}"


def label_of(arm: Arm) -> str:
    """A few letters for a point in a figure: `r8`, or the method and its first parameter."""
    if arm.rank:
        return f"r{arm.rank}"
    return f"{arm.own[0][0]} {arm.own[0][1]}" if arm.own else title_of(arm)
