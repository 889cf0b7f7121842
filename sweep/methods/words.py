"""How an arm's method is named for people."""

from __future__ import annotations

from sweep.methods.registry import methods
from sweep.records import Arm

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
    """`tokens 16, init vocabulary`; nothing for a method without parameters of its own."""
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in arm.own)


def arm_words(arm: Arm) -> str:
    """`rank 8`, `DoRA at rank 8` or `prompt tuning (tokens 16)`."""
    if arm.method in LORA_VARIANTS:
        return f"rank {arm.rank}"
    own = own_words(arm)
    return title_of(arm) + (f" at rank {arm.rank}" if arm.rank else "") + (f" ({own})" if own else "")


def label_of(arm: Arm) -> str:
    """A few letters for a point in a figure: `r8`, or the method and its first parameter."""
    if arm.rank:
        return f"r{arm.rank}"
    return f"{arm.own[0][0]} {arm.own[0][1]}" if arm.own else title_of(arm)
