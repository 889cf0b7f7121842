"""The parameter of LoRA+."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class TwoRates:
    """LoRA+'s second learning rate, kept in `Arm.loraplus_lr_ratio`."""

    loraplus_lr_ratio: Annotated[
        float,
        Key("learning rate of B divided by that of A", Limit(1, 10_000, above=True), example="16"),
    ]
