"""How an arm's method is named for people."""

from __future__ import annotations

from sweep.methods.module_ranks import pattern_words
from sweep.methods.registry import methods
from sweep.records import Arm

LORA_VARIANTS = ("lora", "rslora", "lora_plus", "rslora_plus")
"""Methods whose adapters are named by their rank alone."""


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
    """`rank 8`, `rank 8 (layers 15-29)`, `DoRA at rank 8` or `prompt tuning (tokens 16)`."""
    own = own_words(arm)
    if arm.method in LORA_VARIANTS:
        return f"rank {arm.rank}" + (f" ({own})" if own else "")
    return title_of(arm) + (f" at rank {arm.rank}" if arm.rank else "") + (f" ({own})" if own else "")


def label_of(arm: Arm) -> str:
    """A few letters for a point in a figure: `r8`, or the method and its first parameter."""
    if arm.rank:
        return f"r{arm.rank}"
    return f"{arm.own[0][0]} {arm.own[0][1]}" if arm.own else title_of(arm)
