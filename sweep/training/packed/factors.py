"""Trained factors for the columns of some rows (IA3): each slot's rows times its own factors, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.autograd.function import once_differentiable


def times_factors(values: torch.Tensor, rows: Sequence[int], factors: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Each slot's rows times its factors, rounded to the type of `values`.

    Args:
        values: shape (..., columns); the slots' rows follow each other.
        rows: number of rows of each slot.
        factors: of each slot, one for each column, in fp32; None leaves its rows as they are.
    """
    own = [factor.reshape(-1) for factor in factors if factor is not None]
    has_factors = tuple(factor is not None for factor in factors)
    product: torch.Tensor = _TimesFactors.apply(values, tuple(rows), has_factors, *own)
    return product


class _TimesFactors(torch.autograd.Function):
    """With y = x * l and the gradient g: dx = g * l, dl = sum over rows of g * x."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, rows: tuple[int, ...], has_factors: tuple[bool, ...], *factors: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(values, *factors)
        ctx.parts = list(zip(_slices(rows), has_factors, strict=True))
        product = torch.empty_like(values, memory_format=torch.contiguous_format)
        _multiply(values, product, ctx.parts, factors)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, *factors = ctx.saved_tensors
        gradient = gradients[0]
        of_values = None
        if ctx.needs_input_grad[0]:
            of_values = torch.empty_like(gradient, memory_format=torch.contiguous_format)
            _multiply(gradient, of_values, ctx.parts, factors)
        flat, flat_gradient = _flat(values), _flat(gradient)
        of_factors = [
            (flat_gradient[part].float() * flat[part]).sum(dim=0) for part, has_factors in ctx.parts if has_factors
        ]
        return of_values, None, None, *of_factors


def _multiply(
    values: torch.Tensor,
    product: torch.Tensor,
    parts: Sequence[tuple[slice, bool]],
    factors: Sequence[torch.Tensor],
) -> None:
    flat, flat_product, own = _flat(values), product.view(-1, product.shape[-1]), iter(factors)
    for part, has_factors in parts:
        if has_factors:
            torch.mul(flat[part], next(own), out=flat_product[part])
        else:
            flat_product[part] = flat[part]


def _flat(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1])


def _slices(rows: Sequence[int]) -> list[slice]:
    ends = list(accumulate(rows))
    return [slice(end - count, end) for end, count in zip(ends, rows, strict=True)]
