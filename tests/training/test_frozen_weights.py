"""Products through oneDNN, and dequantized copies, change no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from sweep.records import Quantization, TrialSpec
from sweep.training import frozen_weights
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase
from sweep.training.batches import longest_batch
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.frozen_weights import (
    DequantizedCopies,
    frozen_linear,
    onednn_is_available,
    onednn_is_faster,
    speed_up,
)
from sweep.training.peft_model import PeftAdaptedModel
from sweep.training.probe import training_peak
from sweep.training.quantization import quantized_modules, storage_bytes
from sweep.training.trainer_engine import train


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def through(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not onednn_is_available():
        pytest.skip("this machine has no oneDNN with AVX-512")
    monkeypatch.setattr(frozen_weights, "onednn_is_faster", lambda: request.param)
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


@pytest.mark.parametrize(("vendor", "used"), [("AuthenticAMD", True), ("", True), ("GenuineIntel", False)])
def test_the_maker_of_the_cpu_decides(monkeypatch: pytest.MonkeyPatch, vendor: str, used: bool) -> None:
    monkeypatch.setattr(frozen_weights, "onednn_is_available", lambda: True)
    monkeypatch.setattr(frozen_weights, "cpu_vendor", lambda: vendor)
    assert onednn_is_faster.__wrapped__() is used
    monkeypatch.setattr(frozen_weights, "onednn_is_available", lambda: False)
    assert onednn_is_faster.__wrapped__() is False


def test_an_output_can_be_changed_in_place(through: bool) -> None:
    inputs, weight = torch.randn(2, 3, 8, requires_grad=True), torch.randn(4, 8)
    frozen_linear(inputs, weight, None).mul_(2).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(inputs.grad, 2 * weight.sum(dim=0).expand(2, 3, 8))


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


Loader = Callable[[str], LoadedBase]


def trained(base: LoadedBase, spec: TrialSpec, encoded: list[Encoded], hook: Any = None) -> tuple[list[float], Any]:
    losses: list[float] = []

    def on_step(model: Any, step: Any) -> None:
        losses.append(step.loss)
        if hook is not None:
            hook(model, step)

    adapted = train(base, spec, encoded, on_step)
    weights = {name: parameter.detach().clone() for name, parameter in adapter_parameters(adapted)}
    scores = [loss.nats for loss in completion_losses(base, adapted, encoded)]
    detach(adapted)
    return losses + scores, weights


def test_losses_and_adapter_are_those_without_copies(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    asked = spec(steps=30, dropout=0.1)
    plain, plain_weights = trained(load_tiny("nf4"), asked, encoded)
    copied, copied_weights = trained(load_tiny("nf4 copied"), asked, encoded)
    assert copied == pytest.approx(plain, abs=1e-5)
    for name, weight in plain_weights.items():
        torch.testing.assert_close(copied_weights[name], weight, atol=1e-5, rtol=1e-4)


def test_answers_are_those_without_copies(load_tiny: Loader, encoded: list[Encoded]) -> None:
    plain, copied = load_tiny("nf4"), load_tiny("nf4 copied")
    assert greedy_answers(copied, copied.model, encoded, 4) == greedy_answers(plain, plain.model, encoded, 4)


def test_copies_are_set_aside_and_restored(load_tiny: Loader) -> None:
    base = load_tiny("nf4 copied")
    modules = [module for _, module in quantized_modules(base.model)]
    assert all("forward" in module.__dict__ for module in modules)
    with base.copies.set_aside():
        assert not any("forward" in module.__dict__ for module in modules)
    assert all("forward" in module.__dict__ for module in modules)


def test_copies_do_not_count_as_the_base(load_tiny: Loader) -> None:
    assert load_tiny("nf4").copies.bytes == 0
    assert load_tiny("nf4 copied").copies.bytes > 0
    assert storage_bytes(load_tiny("nf4 copied").model) == storage_bytes(load_tiny("nf4").model)


@pytest.mark.parametrize(
    ("cache", "budget", "kept"),
    [("auto", None, True), ("auto", 1 << 40, False), ("never", None, False), ("always", 1 << 40, True)],
)
def test_when_copies_are_kept(load_tiny: Loader, cache: str, budget: int | None, kept: bool) -> None:
    model = load_tiny("nf4").model
    copies = DequantizedCopies(model, Quantization("nf4", cache=cache), torch.float32, torch.device("cpu"), budget)
    with copies.set_aside():
        assert bool(copies.bytes) is kept
    for _, module in quantized_modules(model):
        module.__dict__.pop("forward", None)


def test_measuring_the_peak_does_not_change_the_training(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("nf4 copied")
    asked = spec(steps=6, dropout=0.2)
    peaks: list[int] = []

    def probe(model: Any, step: Any) -> None:
        if step.step == 1:
            peaks.append(training_peak(base, PeftAdaptedModel(base, model), longest_batch(encoded, 2)))

    plain, _ = trained(base, asked, encoded)
    probed, _ = trained(base, asked, encoded, probe)
    assert probed == plain
    assert peaks[0] > base.bytes


def test_the_longest_batch_is_the_one_with_most_tokens(encoded: list[Encoded]) -> None:
    batches = [encoded[start : start + 2] for start in range(0, len(encoded), 2)]
    most = max(2 * max(map(len, batch)) for batch in batches)
    assert 2 * max(map(len, longest_batch(encoded, 2))) == most
