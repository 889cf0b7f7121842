"""One line for each method: how the contract tests train it on the tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """How a method is trained in a test.

    Attributes:
        rate: a learning rate at which its loss falls within a few steps.
        keys: overrides beside `method=NAME` and the rate.
    """

    rate: float
    keys: tuple[str, ...] = ()


CASES: Mapping[str, Case] = {
    "adalora": Case(3e-2, ("lora.r=4", "lora.targets=all_linear")),
    "adaption_prompt": Case(5e-2, ("method.tokens=4",)),
    "dora": Case(1e-2, ("lora.r=4",)),
    "full": Case(3e-3),
    "ia3": Case(1e-1, ("lora.targets=[k_proj,v_proj,down_proj]",)),
    "loha": Case(1e-2, ("lora.r=4",)),
    "lokr": Case(1e-2, ("lora.r=4",)),
    "lora": Case(1e-2, ("lora.r=4",)),
    "lora_plus": Case(3e-3, ("lora.r=4",)),
    "p_tuning": Case(1e-2, ("method.tokens=4", "method.hidden=32")),
    "prefix_tuning": Case(1e-1, ("method.tokens=4",)),
    "prompt_tuning": Case(1e-1, ("method.tokens=4",)),
    "rslora": Case(1e-2, ("lora.r=4",)),
    "rslora_plus": Case(3e-3, ("lora.r=4",)),
    "vera": Case(5e-2, ("lora.r=64",)),
}
