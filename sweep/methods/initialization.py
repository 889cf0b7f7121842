"""What LoRA's matrices start as, `lora.init`: one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sweep.methods.lora_scale import is_rank_stabilized
from sweep.records import Arm
from sweep.records.arm import DEFAULT_INIT
from sweep.records.quants import KINDS, QUANTS


@dataclass(frozen=True, slots=True)
class Initialization:
    """A way of choosing the first A and B.

    Attributes:
        name: as in `lora.init=NAME`.
        title: its name for use in a sentence.
        text: what A and B start as, in one line.
        paper: where it comes from; empty for PEFT's default.
        subtracted: whether the initial product B0 A0 is subtracted from the update, because it is not zero and the base shall start as it
            is. The adapter is then stored as one of twice the rank, see `stored_arm`.
        seeded: whether A depends on the seed; if not, seeds differ in the order of examples and dropout only.
        even: whether the rank has to be even.
        quants: the quantizations of the base that it fits.
        why_not: why it fits no other, to follow a colon.
    """

    name: str
    title: str
    text: str
    paper: str
    subtracted: bool = False
    seeded: bool = False
    even: bool = False
    quants: tuple[str, ...] = QUANTS
    why_not: str = ""


INITIALIZATIONS: Mapping[str, Initialization] = {
    each.name: each
    for each in (
        Initialization(
            DEFAULT_INIT,
            "the default",
            "A uniform in ±1/sqrt(in_features), B zero",
            "Hu et al. 2021, arXiv:2106.09685",
            seeded=True,
        ),
        Initialization(
            "gaussian",
            "normal",
            "A normal with a standard deviation of 1/r, B zero",
            "Hu et al. 2021, arXiv:2106.09685",
            seeded=True,
        ),
        Initialization(
            "orthogonal",
            "orthogonal",
            "A and B random, in subspaces orthogonal to each other, so that their product is zero",
            "PEFT, init_lora_weights=orthogonal",
            seeded=True,
            even=True,
        ),
        Initialization(
            "eva",
            "EVA",
            "A the directions in which the inputs of training examples are largest, B zero",
            "Paischer et al. 2024, arXiv:2410.07170",
        ),
        Initialization(
            "loftq",
            "LoftQ",
            "B A the best approximation of the base's quantization error",
            "Li et al. 2023, arXiv:2310.08659",
            quants=tuple(name for name, kind in KINDS.items() if kind.bits < 32),
            why_not="the base has no quantization error",
        ),
        Initialization(
            "pissa",
            "PiSSA",
            "A and B the largest singular values of the base's weight",
            "Meng et al. 2024, arXiv:2404.02948",
            subtracted=True,
        ),
        Initialization(
            "olora",
            "OLoRA",
            "A and B the first rows and columns of the weight's QR decomposition",
            "Büyükakyüz 2024, arXiv:2406.01775",
            subtracted=True,
        ),
    )
}


def initialization_of(arm: Arm) -> Initialization:
    """The initialization of an arm's adapter.

    Raises:
        KeyError: there is none of its name, as in records of another version.
    """
    return INITIALIZATIONS[arm.init]


def is_subtracted(arm: Arm) -> bool:
    """Whether the initial product is subtracted from the update."""
    init = INITIALIZATIONS.get(arm.init)  # a record may be of a version with others
    return init is not None and init.subtracted


def stored_rank(arm: Arm) -> int:
    """The rank of the adapter's file: twice the arm's where the initial product is subtracted, as B A - B0 A0 = [B, -B0] [A; A0]."""
    return 2 * arm.rank if is_subtracted(arm) else arm.rank


def stored_arm(arm: Arm) -> Arm:
    """The plain arm as which the adapter is stored: the same scale at `stored_rank`."""
    if not is_subtracted(arm):
        return arm
    alpha = doubled_alpha(arm.alpha, rank_stabilized=is_rank_stabilized(arm))
    return replace(arm, rank=2 * arm.rank, alpha_ratio=alpha / (2 * arm.rank), init=DEFAULT_INIT)


def doubled_alpha(alpha: float, *, rank_stabilized: bool) -> float:
    """The alpha with which an adapter of twice the rank has the same scale, see `sweep.methods.scale`."""
    return alpha * (math.sqrt(2) if rank_stabilized else 2)


def init_words(arm: Arm) -> str:
    """`PiSSA`; nothing for the default."""
    if arm.init == DEFAULT_INIT:
        return ""
    init = INITIALIZATIONS.get(arm.init)
    return arm.init if init is None else init.title
