"""Dequantized copies save time and change nothing: not the losses, not the adapter, not the memory that is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sweep.records import Quantization, TrialSpec
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase
from sweep.training.dequantized import DequantizedCopies
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.peft_adapted import PeftAdapted
from sweep.training.probe import longest_batch, training_peak
from sweep.training.quantization import quantized_modules, storage_bytes
from sweep.training.trainer_engine import train

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


def test_copies_are_set_aside_and_come_back(load_tiny: Loader) -> None:
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
    copies = DequantizedCopies(model, Quantization("nf4", cache=cache), torch.device("cpu"), budget)
    with copies.set_aside():
        assert bool(copies.bytes) is kept
    for _, module in quantized_modules(model):
        module.__dict__.pop("forward", None)


def test_the_probe_leaves_the_training_as_it_was(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("nf4 copied")
    asked = spec(steps=6, dropout=0.2)
    peaks: list[int] = []

    def probe(model: Any, step: Any) -> None:
        if step.step == 1:
            peaks.append(training_peak(base, PeftAdapted(base, model), longest_batch(encoded, 2)))

    plain, _ = trained(base, asked, encoded)
    probed, _ = trained(base, asked, encoded, probe)
    assert probed == plain
    assert peaks[0] > base.bytes


def test_the_longest_batch_is_the_one_with_most_tokens(encoded: list[Encoded]) -> None:
    batches = [encoded[start : start + 2] for start in range(0, len(encoded), 2)]
    most = max(2 * max(map(len, batch)) for batch in batches)
    assert 2 * max(map(len, longest_batch(encoded, 2))) == most
