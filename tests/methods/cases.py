"""One line for each method: how the contract tests train it on the tiny model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from _pytest.mark import ParameterSet


@dataclass(frozen=True, slots=True)
class Case:
    """How a method is trained in a test.

    Attributes:
        rate: a learning rate at which its loss falls within a few steps.
        keys: overrides beside `method=NAME` and the rate.
        further: whether the fast suite only trains, saves and loads it, unquantized.
    """

    rate: float
    keys: tuple[str, ...] = ()
    further: bool = False


CASES: Mapping[str, Case] = {
    "adalora": Case(3e-2, ("lora.r=4", "lora.targets=all_linear")),
    "adaption_prompt": Case(5e-2, ("method.tokens=4",)),
    "c3a": Case(1e-1, ("method.block=16",), further=True),
    "delora": Case(1e-1, ("lora.r=4",), further=True),
    "dora": Case(1e-2, ("lora.r=4",)),
    "fourierft": Case(1e-1, ("method.frequencies=200",), further=True),
    "full": Case(3e-3),
    "gralora": Case(1e-2, ("lora.r=4",), further=True),
    "hra": Case(3e-2, ("lora.r=4",), further=True),
    "ia3": Case(1e-1, ("lora.targets=[k_proj,v_proj,down_proj]",)),
    "loha": Case(1e-2, ("lora.r=4",)),
    "lokr": Case(1e-2, ("lora.r=4",)),
    "lora": Case(1e-2, ("lora.r=4",)),
    "lora_plus": Case(3e-3, ("lora.r=4",)),
    "miss": Case(1e-2, ("lora.r=4",), further=True),
    "p_tuning": Case(1e-2, ("method.tokens=4", "method.hidden=32")),
    "prefix_tuning": Case(1e-1, ("method.tokens=4",)),
    "prompt_tuning": Case(1e-1, ("method.tokens=4",)),
    "randlora": Case(1e-2, ("lora.r=4", "lora.alpha_ratio=2"), further=True),
    "road": Case(5e-2, ("method.group=16",), further=True),
    "rslora": Case(1e-2, ("lora.r=4",)),
    "rslora_plus": Case(3e-3, ("lora.r=4",)),
    "vblora": Case(3e-2, ("lora.r=4", "method.length=16", "method.vectors=32"), further=True),
    "vera": Case(5e-2, ("lora.r=64",)),
    "waveft": Case(1e-1, ("method.frequencies=200",), further=True),
}


def marked(names: Iterable[str]) -> list[ParameterSet]:
    """The methods as parameters of a test that further ones run in the slow suite only."""
    return [pytest.param(name, marks=pytest.mark.slow if is_further(name) else ()) for name in names]


def is_further(name: str) -> bool:
    """Whether a method is one that only the slow suite tests as a whole."""
    return name in CASES and CASES[name].further
