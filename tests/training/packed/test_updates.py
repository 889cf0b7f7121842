"""Updates added in place have the values and gradients of the plain formula, and dropout has its own stream per slot."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sweep.training.packed.updates import Dropout, Update, add_updates

IN, OUT = 12, 20


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slot(rows: int, rank: int, dropout: Dropout | None = None) -> Update:
    down, up = drawn(rank, IN, seed=rank).requires_grad_(), drawn(OUT, rank, seed=rank + 1).requires_grad_()
    return Update(rows, down, up, scale=1.5, dropout=dropout)


def plain(inputs: torch.Tensor, output: torch.Tensor, updates: list[Update]) -> torch.Tensor:
    flat_in, parts = inputs.reshape(-1, IN), []
    rows = [update.rows for update in updates]
    for update, x, y in zip(updates, flat_in.split(rows), output.reshape(-1, OUT).split(rows), strict=True):
        if update.down is None or update.up is None:
            parts.append(y)
            continue
        dropped = x
        if update.dropout is not None:
            dropped = x * update.dropout.kept(x) * update.dropout.rescaling(x.device)
        parts.append(y + update.scale * dropped @ update.down.t() @ update.up.t())
    return torch.cat(parts).view_as(output)


PACKS = {
    "one slot": [slot(8, 3)],
    "three slots, one without this module": [slot(3, 1), Update(2), slot(3, 5)],
    "dropout": [slot(5, 2, Dropout(0.4, "a")), slot(3, 4, Dropout(0.1, "b"))],
    "an empty slot": [slot(8, 2), slot(0, 4)],
}


@pytest.mark.parametrize("updates", PACKS.values(), ids=PACKS)
@pytest.mark.parametrize("needs_input_gradient", [True, False])
@pytest.mark.parametrize("shape", [(1, 8), (2, 4)])
def test_values_and_gradients(updates: list[Update], needs_input_gradient: bool, shape: tuple[int, int]) -> None:
    matrices = [matrix for update in updates for matrix in (update.down, update.up) if matrix is not None]
    results = []
    for add in (add_updates, plain):
        inputs = drawn(*shape, IN).requires_grad_(needs_input_gradient)
        output = drawn(*shape, OUT, seed=7).requires_grad_()
        added = add(inputs, output * 1.0, updates)
        wanted = [output, *matrices, *([inputs] if needs_input_gradient else [])]
        results.append([added.detach(), *torch.autograd.grad(added.square().sum(), wanted)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("biased", [True, False])
def test_the_output_of_torchs_own_linear(biased: bool) -> None:
    """With a bias it is a view."""
    updates, weight, bias = [slot(5, 2), slot(3, 4)], drawn(OUT, IN), drawn(OUT).requires_grad_()
    matrices = [matrix for update in updates for matrix in (update.down, update.up) if matrix is not None]
    results = []
    for add in (add_updates, plain):
        inputs = drawn(1, 8, IN).requires_grad_()
        wanted = [inputs, *matrices, *([bias] if biased else [])]
        added = add(inputs, functional.linear(inputs, weight, bias if biased else None), updates)
        results.append([added.detach(), *torch.autograd.grad(added.square().sum(), wanted)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


def test_the_update_is_added_in_place() -> None:
    output = drawn(1, 4, OUT)
    assert add_updates(drawn(1, 4, IN), output, [slot(4, 2)]) is output


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.5])
def test_dropout_keeps_the_expected_value(probability: float) -> None:
    dropout, inputs = Dropout(probability, "stream"), torch.ones(1000, 301)
    kept = dropout.kept(inputs)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert float(kept.mean()) == pytest.approx(1 - probability, abs=0.005)
    assert float(kept.mean(dim=0).std()) == pytest.approx((probability * (1 - probability) / 1000) ** 0.5, rel=0.15)
    assert float(kept.mean()) * dropout.rescaling(inputs.device) == pytest.approx(1, abs=0.01)


def test_streams_are_independent_and_reproducible() -> None:
    inputs = torch.ones(200, 100)
    first, again, other = (Dropout(0.5, name).kept(inputs) for name in ("seed 1", "seed 1", "seed 2"))
    assert torch.equal(first, again)
    assert float((first == other).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_rows_do_not_depend_on_the_number_of_rows() -> None:
    dropout = Dropout(0.3, "stream")
    assert torch.equal(dropout.kept(torch.ones(7, 5))[:3], dropout.kept(torch.ones(3, 5)))
