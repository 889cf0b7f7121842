"""An arm's LoRA fields as they are written in an entry of `search.arms` or `certify.ladder`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sweep.methods.method import ALPHA, DROPOUT
from sweep.methods.registry import methods
from sweep.records import Arm
from sweep.records.arm import set_name


def entry_fields(arm: Arm, sets: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Rank, alpha ratio, dropout and targets, as far as the method has them; exact, so that a stored result is found again.

    Args:
        sets: named sets of target modules; targets that are one of them are written as its name.
    """
    has = methods()[arm.method].lora
    if arm.rank:
        yield f"r: {arm.rank}"
    if ALPHA in has:
        yield f"alpha_ratio: {arm.alpha_ratio!r}"
    if DROPOUT in has:
        yield f"dropout: {arm.dropout!r}"
    if arm.targets:
        name = set_name(arm.targets, sets)
        yield f"targets: {name if name in sets else '[' + ','.join(arm.targets) + ']'}"
