"""Attention as a GPU computes it, on a CPU: one bias per pass, grouped queries, and widths that repeat."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed import attention, layout
from sweep.training.packed.attention import attend_folded
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.pack import Pack
from tests.training.packed.counted import operators

Loader = Callable[[str], LoadedBase]
GPU = torch.device("cuda")


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_folded_queries_equal_repeated_keys(groups: int, scaling: float | None) -> None:
    queries = drawn(3, 2 * groups, 7, 16, seed=0)
    keys, values = (drawn(3, 2, 9, 16, seed=seed) for seed in (1, 2))
    mask = torch.ones(7, 9, dtype=torch.bool).tril(2).expand(3, 1, 7, 9)
    bias = torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    repeated = functional.scaled_dot_product_attention(
        queries,
        keys.repeat_interleave(groups, dim=1),
        values.repeat_interleave(groups, dim=1),
        attn_mask=mask,
        scale=scaling,
    )
    folded = attend_folded(queries, keys, values, bias.repeat(1, 1, groups, 1), 0.0, scaling)
    torch.testing.assert_close(folded, repeated)
    wanted = [queries, keys, values]
    ours, theirs = (torch.autograd.grad(each.square().sum(), wanted) for each in (folded, repeated))
    torch.testing.assert_close(ours, theirs)


def test_the_layers_of_a_pass_share_one_bias(load_tiny: Loader, encoded: list[Encoded]) -> None:
    pack = Pack(load_tiny("none"))
    with operators() as counts:
        packed_losses(load_tiny("none"), pack, [None], encoded[:2])
    assert len(load_tiny("none").model.model.layers) > 1
    assert counts["aten.masked_fill_.Scalar"] == 1


@pytest.mark.parametrize("takes", [True, False])
def test_attention_on_a_gpu_gives_the_same_losses(
    load_tiny: Loader, encoded: list[Encoded], monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """Wider tables, and either of the two ways without repeated keys and values, on a CPU."""
    base = load_tiny("none")
    pack = Pack(base)
    (expected,) = packed_losses(base, pack, [None], encoded)
    lengths: list[int] = []

    def rounded(length: int, device: torch.device, original: Callable[..., int] = layout.rounded) -> int:
        lengths.append(original(length, GPU))
        return lengths[-1]

    def as_on_a_gpu(
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        bias: Callable[..., torch.Tensor],
        dropout: float,
        scaling: float | None,
    ) -> torch.Tensor:
        groups = queries.shape[1] // keys.shape[1]
        assert groups > 1
        assert queries.shape[2] in lengths
        if takes:
            return functional.scaled_dot_product_attention(
                queries, keys, values, attn_mask=bias(), dropout_p=dropout, scale=scaling, enable_gqa=True
            )
        return attend_folded(queries, keys, values, bias(repeats=groups), dropout, scaling)

    monkeypatch.setattr(layout, "rounded", rounded)
    monkeypatch.setattr(attention, "_attend", as_on_a_gpu)
    (losses,) = packed_losses(base, pack, [None], encoded)
    assert [one.nats for one in losses] == pytest.approx([one.nats for one in expected], abs=1e-4)
    assert [one.is_greedy_answer for one in losses] == [one.is_greedy_answer for one in expected]


@given(st.integers(1, 20_000))
def test_widths_repeat_and_are_aligned(length: int) -> None:
    width = layout.rounded(length, GPU)
    assert 0 <= width - length <= max(15, length / 8)
    assert width % 16 == 0
    assert layout.rounded(width, GPU) == width
    assert layout.rounded(length, torch.device("cpu")) == length


def test_there_are_few_widths() -> None:
    assert len({layout.rounded(length, GPU) for length in range(1, 2049)}) <= 8 + 4 * 8


@pytest.mark.parametrize("takes", [True, False])
def test_on_a_gpu_the_kernel_is_asked_about_grouped_queries(monkeypatch: pytest.MonkeyPatch, takes: bool) -> None:
    tensor: Any = SimpleNamespace(device=GPU)
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch.backends.cuda, "SDPAParams", lambda *given: given)
    monkeypatch.setattr(torch.backends.cuda, "can_use_efficient_attention", lambda given: asked.append(given) or takes)
    assert attention.takes_grouped_queries(tensor, tensor, tensor, tensor, 0.0) is takes
    assert asked == [(tensor, tensor, tensor, tensor, 0.0, False, True)]
