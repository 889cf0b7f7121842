"""For one seed, the initial A of a small rank is the top of the A of a larger rank."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from sweep.records import Arm
from sweep.training.adapters import adapter_parameters, attach, detach
from sweep.training.base_model import LoadedBase

Loader = Callable[[str], LoadedBase]


def first_weights(base: LoadedBase, rank: int, seed: int) -> dict[str, torch.Tensor]:
    adapted = attach(base.model, Arm(rank, 2.0, 0.0, ("q_proj", "v_proj"), 1e-3), seed)
    weights = {name: parameter.detach().clone() for name, parameter in adapter_parameters(adapted)}
    detach(adapted)
    return weights


def test_small_ranks_are_the_top_of_large_ones(load_tiny: Loader) -> None:
    small, large = first_weights(load_tiny("none"), 4, 7), first_weights(load_tiny("none"), 16, 7)
    assert all(torch.equal(large[name][:4], weight) for name, weight in small.items() if "lora_A" in name)


def test_b_is_zero_and_a_uniform_within_peft_s_bound(load_tiny: Loader) -> None:
    for name, weight in first_weights(load_tiny("none"), 64, 0).items():
        if "lora_B" in name:
            assert not weight.any()
        else:
            bound = 1 / math.sqrt(weight.shape[1])
            assert float(weight.abs().max()) <= bound
            assert abs(float(weight.std()) - bound / math.sqrt(3)) < 0.1 * bound


def test_seeds_and_modules_differ(load_tiny: Loader) -> None:
    one, other = first_weights(load_tiny("none"), 4, 0), first_weights(load_tiny("none"), 4, 1)
    drawn = [weight for name, weight in one.items() if "lora_A" in name]
    assert not any(torch.equal(weight, other[name]) for name, weight in one.items() if "lora_A" in name)
    assert not torch.equal(drawn[0], drawn[1])
