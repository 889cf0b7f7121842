"""Sizes of adapters that are known before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.commands.app import composed_plan
from sweep.training.adapter_size import adapter_sizes
from sweep.training.base_model import LoadedBase

LADDER = "certify.ladder=[{method: lora, r: 2}, {method: ia3, targets: [k_proj]}, {method: prompt_tuning}, {method: full, quant: none}]"


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_they_do_not_depend_on_the_quantization_of_the_base(quant: str, load_tiny: Callable[[str], LoadedBase]) -> None:
    plan = composed_plan(["model=tiny", f"quant={quant}", LADDER])
    arms = [each.arm for each in plan.declaration.arms]
    sizes = list(adapter_sizes(load_tiny(quant), arms, plan.training))
    assert sizes == list(adapter_sizes(load_tiny("none"), arms, plan.training))
    assert all(size.bytes > 0 and size.parameters > 0 and size.problem is None for size in sizes)
