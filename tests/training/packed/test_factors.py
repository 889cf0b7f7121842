"""Each slot's rows times its own factors, like the products of plain tensors, forward and backward."""

from __future__ import annotations

import pytest
import torch

from sweep.training.packed.factors import times_factors

ROWS = (2, 3, 1)


def plain(values: torch.Tensor, factors: list[torch.Tensor | None]) -> torch.Tensor:
    parts = zip(values.split(ROWS), factors, strict=True)
    return torch.cat([part if own is None else part * own.reshape(-1) for part, own in parts])


@pytest.mark.parametrize("is_trained", [True, False])
def test_like_plain_products(is_trained: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 4, generator=generator).requires_grad_(is_trained)
    shapes = ((4, 1), None, (1, 4))
    factors = [
        None if shape is None else torch.randn(shape, generator=generator).requires_grad_(True) for shape in shapes
    ]
    leaves = [each for each in (values, *factors) if each is not None and each.requires_grad]
    gradient = torch.randn(6, 4, generator=generator)
    ours, theirs = times_factors(values, ROWS, factors), plain(values, factors)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, leaves, gradient), torch.autograd.grad(theirs, leaves, gradient)
    )


def test_a_type_is_kept_and_rounded_once() -> None:
    values = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    factors = [torch.full((4,), 1.001).requires_grad_(True), None, torch.full((4,), 0.3).requires_grad_(True)]
    product = times_factors(values, ROWS, factors)
    assert product.dtype == torch.bfloat16
    assert torch.equal(product, plain(values.float(), factors).to(torch.bfloat16))
    product.float().sum().backward()
    assert all(own is None or (own.grad is not None and own.grad.dtype == torch.float32) for own in factors)


def test_nan_stays_in_its_rows() -> None:
    factors = [torch.full((4,), float("nan")), None, torch.ones(4)]
    product = times_factors(torch.ones(6, 4), ROWS, factors)
    assert product[:2].isnan().all()
    assert torch.equal(product[2:], torch.ones(4, 4))
