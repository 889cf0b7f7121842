"""Cuts of adapters: the moments are the model's own, budgets are kept, and differences are those of a hand calculation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cut_methods.methods import cut, cut_for_inputs, one_budget, uniform
from benchmarks.cut_methods.moments import Moments, moments
from benchmarks.cut_methods.summary import cuts_table, difference, margin, trained_table
from benchmarks.cut_methods.workshop import Adapter
from sweep.training.base_model import LoadedBase
from sweep.training.cut import cut_matrices
from sweep.training.encoding import Encoded
from sweep.training.packed.pack import Pack
from tests.training.conftest import encoded, examples, load_tiny

__all__ = ["encoded", "examples", "load_tiny"]

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj")
RANK = 4


def adapter(inputs: int = 12, outputs: int = 8, **sizes: float) -> Adapter:
    """Modules with random matrices; `sizes` scale their updates."""
    generator = torch.Generator().manual_seed(0)
    return Adapter(
        2.0,
        {
            name: (
                torch.randn(RANK, inputs, generator=generator),
                size * torch.randn(outputs, RANK, generator=generator),
            )
            for name, size in sizes.items()
        },
    )


def isotropic(one: Adapter) -> dict[str, Moments]:
    """Moments of inputs and gradients that have no preferred direction."""
    return {
        name: Moments((down @ down.t()).double(), one.scale**2 * (up.t() @ up).double())
        for name, (down, up) in one.matrices.items()
    }


def update(one: Adapter, name: str) -> torch.Tensor:
    down, up = one.matrices[name]
    return one.scale * up @ down


@pytest.mark.parametrize("weighting", ["inputs", "both"])
def test_without_preferred_directions_all_cuts_are_the_plain_one(weighting: str) -> None:
    one = adapter(a=1.0, b=1.0)
    plain = cut(one, {}, "plain", uniform(one, 2))
    weighted = cut(one, isotropic(one), weighting, uniform(one, 2))
    for name in one.matrices:
        torch.testing.assert_close(update(weighted, name), update(plain, name), rtol=1e-3, atol=1e-3)


def test_the_cut_weighted_on_both_sides_is_the_best_in_its_norm() -> None:
    one = adapter(a=1.0)
    generator = torch.Generator().manual_seed(1)
    seen, back = (torch.randn(RANK, RANK, generator=generator).double() for _ in range(2))
    given = {"a": Moments(seen @ seen.t(), back @ back.t())}
    down, up = (matrix.double() for matrix in one.matrices["a"])

    def error(other: Adapter) -> float:
        """In coordinates of A and B: dW' = scale * B P A."""
        low, high = (matrix.double() for matrix in other.matrices["a"])
        inner = torch.linalg.pinv(up) @ high @ low @ torch.linalg.pinv(down)
        apart = torch.eye(RANK, dtype=torch.float64) - inner
        plain = up.t() @ up
        damped = 0.9 * given["a"].gradients / given["a"].gradients.trace() * plain.trace() + 0.1 * plain
        return float((damped @ apart @ given["a"].inputs @ apart.t()).trace())

    best = error(cut(one, given, "both", {"a": 2}))
    assert best < error(cut(one, given, "inputs", {"a": 2}))
    assert best < error(cut(one, given, "plain", {"a": 2}))


def covariance(down: torch.Tensor, seed: int, tokens: int) -> torch.Tensor:
    """E[x x^T] of inputs whose directions differ in size; singular with few tokens."""
    width = down.shape[1]
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tokens, width, generator=generator) * torch.logspace(1, -1, width)
    return (inputs.t() @ inputs / tokens).double()


def weighted_error(difference: torch.Tensor, inputs: torch.Tensor) -> float:
    return float((difference @ inputs @ difference.t()).trace().clamp(min=0).sqrt())


@given(
    st.integers(2, 12),
    st.integers(1, 12),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 30),
    st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_a_cut_for_given_inputs_is_the_best_for_them(
    width: int, outputs: int, top: int, rank: int, tokens: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    down, up = torch.randn(top, width, generator=generator), torch.randn(outputs, top, generator=generator)
    inputs = covariance(down, seed, tokens)
    gram = down.double() @ inputs @ down.double().t()
    whole = 2.0 * up.double() @ down.double()
    cut_down, cut_up = (matrix.double() for matrix in cut_for_inputs(down, up, 2.0, rank, gram))
    plain_down, plain_up = (matrix.double() for matrix in cut_matrices(down, up, 2.0, rank)[:2])
    values, vectors = torch.linalg.eigh(inputs)
    singular = torch.linalg.svdvals(whole @ vectors * values.clamp(min=0).sqrt())
    error = weighted_error(whole - 2.0 * cut_up @ cut_down, inputs)
    tolerance = 2e-3 * float(singular.norm())  # the ridge
    assert error == pytest.approx(float(singular[rank:].norm()), abs=tolerance)
    assert error <= weighted_error(whole - 2.0 * plain_up @ plain_down, inputs) + tolerance


def test_one_budget_takes_no_more_and_gives_it_to_the_larger_update() -> None:
    one = adapter(small=0.1, large=10.0)
    ranks = one_budget(one, {}, "plain", 2)
    assert ranks == {"small": 0, "large": 4}
    made = cut(one, {}, "plain", ranks)
    assert sum(matrix.numel() for pair in made.matrices.values() for matrix in pair) == 2 * 2 * (12 + 8)


def test_moments_are_those_of_the_models_own_gradients(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]
) -> None:
    base = load_tiny("none")
    pack = Pack(base)
    generator = torch.Generator().manual_seed(0)
    one = Adapter(
        2.0,
        {
            name: (
                torch.randn(RANK, pack.shapes[name][0], generator=generator),
                0.1 * torch.randn(pack.shapes[name][1], RANK, generator=generator),
            )
            for name in LAYERS
        },
    )
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def hook(name: str) -> Callable[..., None]:
        def after(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            inputs = arguments[0].detach()[0]
            output.register_hook(lambda gradient: seen.__setitem__(name, (inputs, gradient.detach()[0])))

        return after

    handles = [base.model.get_submodule(name).register_forward_hook(hook(name)) for name in LAYERS]
    measured = moments(base, pack, one, encoded, batch=len(encoded))
    for handle in handles:
        handle.remove()
    for name, (down, up) in one.matrices.items():
        inputs, gradient = seen[name]
        down_side, up_side = inputs @ down.t(), 2.0 * gradient @ up
        torch.testing.assert_close(measured[name].inputs.float(), down_side.t() @ down_side, rtol=1e-3, atol=1e-3)
        expected = up_side.t() @ up_side
        torch.testing.assert_close(
            measured[name].gradients.float(), expected, rtol=1e-3, atol=1e-4 * float(expected.trace())
        )


def test_difference_by_hand() -> None:
    apart = difference([1.1, 1.3], [1.0, 1.0])
    quantile = math.tan(math.pi * 0.45)  # Student, 1 degree of freedom, at 95 %
    assert apart["mean"] == pytest.approx(0.2)
    assert apart["sd"] == pytest.approx(0.02**0.5)
    assert apart["upper"] == pytest.approx(0.2 + 0.1 * quantile)


RESULT = {
    "data": "boxes",
    "top": 8,
    "ranks": [4, 2],
    "trained": [4],
    "base": 3.0,
    "chosen": "plain",
    "rows": [
        {"method": "trained", "rank": 8, "of": "", "losses": [1.0, 1.0]},
        {"method": "plain", "rank": 4, "of": "", "losses": [1.01, 1.03]},
        {"method": "trained", "rank": 4, "of": "", "losses": [1.02, 1.04]},
        {"method": "plain, healed 6 steps", "rank": 4, "of": "", "losses": [1.0, 1.02]},
        {"method": "trained", "rank": 8, "of": "alpha = 4 r", "losses": [0.9, 0.9]},
        {"method": "plain", "rank": 2, "of": "alpha = 4 r", "losses": [1.0, 1.0]},
    ],
}


def test_tables() -> None:
    assert margin(RESULT) == pytest.approx(0.04)
    lines = cuts_table([RESULT]).splitlines()
    assert lines[2] == "| boxes | uncut: 1.0000, sd 0.0000 (2 seeds) |  |  |"
    assert lines[3:] == [
        "| boxes | plain | +0.0200 (0.0141) |  |",
        "| boxes | plain, healed 6 steps | +0.0100 (0.0141) |  |",
        "| boxes | uncut (alpha = 4 r): 0.9000 |  |  |",
        "| boxes | plain (alpha = 4 r) |  | +0.1000 (0.0000) |",
    ]
    assert trained_table([RESULT]).splitlines()[2:] == [
        "| boxes | plain | 4 | 1.0200 | 1.0300, sd 0.0141 | -0.0100 | -0.0100 | 0.0133 | yes |",
        "| boxes | plain, healed 6 steps | 4 | 1.0100 | 1.0300, sd 0.0141 | -0.0200 | -0.0200 | 0.0133 | yes |",
    ]
