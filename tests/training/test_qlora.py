"""QLoRA: the quantized base never changes, and adapters train, also with evaluations in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from bitsandbytes.nn.modules import has_avx512bf16
from peft import PeftModel
from torch import nn

from sweep.errors import TrialFailed
from sweep.records import TrialSpec
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses, greedy_answers
from sweep.training.quantization import check_trainable_format, quantized_modules, storage_bytes, weights_hash
from sweep.training.trainer_engine import train

Loader = Callable[[str], LoadedBase]


def linear_bytes(base: LoadedBase) -> int:
    return sum(storage_bytes(module) for name, module in base.model.named_modules() if name in base.linear_modules)


def snapshot(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in adapter_parameters(model)}


def changed(before: dict[str, torch.Tensor], model: Any) -> bool:
    return all(not torch.equal(before[name], parameter) for name, parameter in adapter_parameters(model))


@pytest.mark.parametrize(("quant", "share"), [("nf4", 0.4), ("fp4", 0.4), ("int8", 0.6)])
def test_base_is_stored_in_few_bits(load_tiny: Loader, quant: str, share: float) -> None:
    whole = linear_bytes(load_tiny("none"))
    assert len(list(quantized_modules(load_tiny(quant).model))) == len(load_tiny(quant).linear_modules)
    assert linear_bytes(load_tiny(quant)) < share * whole


def test_double_quantization_saves_constants(load_tiny: Loader) -> None:
    for quant in ("nf4", "fp4"):
        states = [module.weight.quant_state for _, module in quantized_modules(load_tiny(quant).model)]
        assert all(state.quant_type == quant for state in states)
        assert all(state.nested and state.absmax.dtype == torch.uint8 for state in states)
        single = load_tiny(f"{quant} single")
        assert not any(module.weight.quant_state.nested for _, module in quantized_modules(single.model))


@pytest.mark.parametrize("quant", ["nf4", "nf4 copied", "nf4 single", "fp4", "int8", "none"])
def test_training_changes_the_adapter_and_never_the_base(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec], quant: str
) -> None:
    base = load_tiny(quant)
    before = weights_hash(base.model)
    losses: list[float] = []
    adapted = train(base, spec(steps=30), encoded, lambda model, step: losses.append(step.loss))
    assert isinstance(adapted, PeftModel)
    assert sum(losses[-5:]) < sum(losses[:5])
    detach(adapted)
    assert weights_hash(base.model) == before
    assert not any("lora" in name for name, _ in base.model.named_modules())


@pytest.mark.parametrize("quant", ["nf4", "nf4 copied", "fp4", "int8"])
def test_train_evaluate_train_evaluate_still_learns(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec], quant: str
) -> None:
    """On some CPUs evaluation could repack 4-bit weights, after which no gradient reaches the adapter."""
    base = load_tiny(quant)
    before = weights_hash(base.model)
    losses = []
    for _ in range(2):
        completion_losses(base, base.model, encoded)
        greedy_answers(base, base.model, encoded, 3)
        states: list[dict[str, torch.Tensor]] = []

        def in_between(model: Any, step: Any, states: list[dict[str, torch.Tensor]] = states) -> None:
            completion_losses(base, model, encoded)  # as a report to the pruner does
            states.append(snapshot(model))

        adapted = train(base, spec(steps=8), encoded, in_between)
        assert all(changed(earlier, adapted) for earlier in states[2:-1])
        losses.append(sum(loss.nats for loss in completion_losses(base, adapted, encoded)))
        detach(adapted)
    assert losses[0] == losses[1]
    assert weights_hash(base.model) == before
    check_trainable_format(base.model)


def test_repacked_weights_are_an_error() -> None:
    layer = bnb.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    layer.load_state_dict({"weight": torch.randn(64, 64)})
    model = nn.Sequential(layer.to("cpu"))
    if has_avx512bf16():
        model.eval()
        with torch.no_grad():
            model(torch.randn(1, 64))
    else:
        model[0].weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(TrialFailed, match="repacked for inference"):
        check_trainable_format(model)


def test_a_silent_adapter_is_an_error(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base = load_tiny("nf4")
    # with such a small rate B stays zero, so A has no gradient
    with pytest.raises(TrialFailed, match="no gradient reached the adapter"):
        train(base, spec(rate=1e-45), encoded, lambda model, step: None)
    assert not any("lora" in name for name, _ in base.model.named_modules())


@pytest.mark.parametrize(
    ("rate", "reason"), [(1e38, "the training loss was nan at step"), (1e25, "no gradient is left")]
)
def test_divergence_ends_the_trial(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec], rate: float, reason: str
) -> None:
    with pytest.raises(TrialFailed, match=f"diverged: .*{reason}"):
        train(load_tiny("none"), spec(rate=rate, steps=12), encoded, lambda model, step: None)
