"""Products through oneDNN are those of torch, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from sweep.training import frozen_linear as module
from sweep.training.frozen_linear import frozen_linear, onednn_is_faster, speed_up


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def through(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not onednn_is_faster():
        pytest.skip("this machine does not use oneDNN")
    monkeypatch.setattr(module, "onednn_is_faster", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("shape", [(5, 48), (2, 7, 48), (1, 1, 48), (0, 48)])
@pytest.mark.parametrize("biased", [True, False])
def test_product_and_gradient(through: bool, shape: tuple[int, ...], biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 48, generator=generator)
    bias = torch.randn(96, generator=generator) if biased else None
    given, plain = (torch.randn(shape, generator=generator.manual_seed(1)).requires_grad_() for _ in range(2))
    ours, theirs = frozen_linear(given, weight, bias), functional.linear(plain, weight, bias)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)
    ours.square().sum().backward()  # type: ignore[no-untyped-call]
    theirs.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(given.grad, plain.grad, atol=1e-2, rtol=1e-4)


def test_inputs_that_are_not_contiguous(through: bool) -> None:
    inputs, weight = torch.randn(48, 6).t(), torch.randn(96, 48)
    torch.testing.assert_close(frozen_linear(inputs, weight, None), inputs @ weight.t(), atol=1e-4, rtol=1e-5)


def test_other_dtypes_go_through_torch(through: bool) -> None:
    inputs, weight = torch.randn(4, 8).double(), torch.randn(3, 8).double()
    assert torch.equal(frozen_linear(inputs, weight, None), functional.linear(inputs, weight))


def test_only_frozen_modules_are_sped_up() -> None:
    frozen, trained = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8)
    speed_up(nn.Sequential(frozen, trained))
    assert "forward" in frozen.__dict__
    assert "forward" not in trained.__dict__
    inputs = torch.randn(3, 8)
    torch.testing.assert_close(frozen(inputs), functional.linear(inputs, frozen.weight, frozen.bias))
