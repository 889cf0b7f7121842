"""`quant.compute=bfloat16` on a CPU: products with the frozen base in bf16, all else in fp32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from torch import nn
from torch.nn import functional

from sweep.errors import ConfigurationError
from sweep.records import Quantization, TrialSpec
from sweep.store.paths import Paths
from sweep.training import quantization
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.frozen_weights import frozen_linear
from sweep.training.packed.memory.probes import model_sizes
from sweep.training.quantization import (
    compute_dtype,
    compute_note,
    dtype_name,
    model_dtype,
    onednn_multiplies_bfloat16,
    quantized_modules,
    usable_on,
    weights_hash,
)
from sweep.training.trainer_engine import train
from tests.training.conftest import TINY

Loader = Callable[[str], LoadedBase]

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
UNIT = 2.0**-9
"""Largest relative error of rounding to bf16, which has 8 significant bits."""

needs_bfloat16 = pytest.mark.skipif(not onednn_multiplies_bfloat16(), reason="this processor does not multiply bf16")


def linears(base: LoadedBase) -> list[nn.Linear]:
    """The unquantized linear modules, without the output head."""
    head: Any = base.model.get_output_embeddings()  # type: ignore[operator]
    return [module for module in base.model.modules() if type(module) is nn.Linear and module is not head]


@pytest.mark.parametrize("shape", [(5, 48), (2, 7, 48), (1, 1, 48), (0, 48)])
@pytest.mark.parametrize("biased", [True, False])
def test_product_and_gradient(shape: tuple[int, ...], biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 48, generator=generator)
    bias = torch.randn(96, generator=generator) if biased else None
    inputs = torch.randn(shape, generator=generator).requires_grad_()
    gradient = torch.randn((*shape[:-1], 96), generator=generator)
    ours, exact = frozen_linear(inputs, weight.bfloat16(), bias), functional.linear(inputs, weight, bias)
    assert ours.dtype == torch.float32
    assert ours.shape == exact.shape
    (backward,) = torch.autograd.grad(ours, inputs, gradient)
    assert backward.dtype == torch.float32
    # each factor is rounded once, and the product: |error| <= 2.01 u |W||x| + u |Wx|
    for result, right, size in (
        (ours, exact, inputs.abs() @ weight.abs().t()),
        (backward, gradient @ weight, gradient.abs() @ weight.abs()),
    ):
        assert bool(((result - right).abs() <= 3.02 * UNIT * size + 1e-4).all())
    if ours.numel():
        assert not torch.equal(ours, exact)


def test_weights_without_a_gradient_for_the_inputs_keep_nothing() -> None:
    assert not frozen_linear(torch.randn(3, 8), torch.randn(4, 8).bfloat16(), None).requires_grad


@needs_bfloat16
@pytest.mark.parametrize("quant", ["none", "nf4", "nf4 copied"])
def test_only_the_frozen_products_are_in_bfloat16(load_tiny: Loader, quant: str) -> None:
    base = load_tiny(f"{quant} bfloat16")
    assert (base.compute, base.model.dtype) == (torch.bfloat16, torch.float32)
    assert {module.weight.dtype for module in linears(base)} <= {torch.bfloat16}
    in_fp32 = [
        name
        for name, parameter in base.model.named_parameters()
        if "norm" in name or "embed" in name or "lm_head" in name
    ]
    assert in_fp32
    assert all(base.model.get_parameter(name).dtype == torch.float32 for name in in_fp32)
    inputs = torch.randn(2, 3, linear_inputs(base)).requires_grad_()
    output = base.model.get_submodule(base.linear_modules[0])(inputs)
    assert output.dtype == torch.float32
    assert torch.equal(output, output.bfloat16().float())  # as a product in bf16 without a bias is
    # what the memory of passes is predicted from: activations stay in fp32
    assert model_sizes(base).number_bytes == 4


def linear_inputs(base: LoadedBase) -> int:
    module: Any = base.model.get_submodule(base.linear_modules[0])
    return int(module.in_features)


@needs_bfloat16
def test_weights_and_copies_take_half_the_memory(load_tiny: Loader) -> None:
    assert load_tiny("nf4 copied bfloat16").copies.bytes * 2 == load_tiny("nf4 copied").copies.bytes
    assert load_tiny("nf4 bfloat16").bytes == load_tiny("nf4").bytes
    saved = load_tiny("none").bytes - load_tiny("none bfloat16").bytes
    assert saved == 2 * sum(module.weight.numel() for module in linears(load_tiny("none")))


@needs_bfloat16
def test_a_copy_changes_no_loss_and_can_be_set_aside(load_tiny: Loader, encoded: list[Encoded]) -> None:
    plain, copied = load_tiny("nf4 bfloat16"), load_tiny("nf4 copied bfloat16")
    expected = [loss.nats for loss in completion_losses(plain, plain.model, encoded)]
    assert [loss.nats for loss in completion_losses(copied, copied.model, encoded)] == expected
    with copied.copies.set_aside():
        assert [loss.nats for loss in completion_losses(copied, copied.model, encoded)] == expected
    assert [loss.nats for loss in completion_losses(load_tiny("nf4"), load_tiny("nf4").model, encoded)] != expected


@needs_bfloat16
def test_a_bias_is_added_in_fp32_and_stays_as_it_is() -> None:
    """bitsandbytes itself would round the bias of the base to bf16, and compute in the type of the inputs."""
    from sweep.training.frozen_weights import DequantizedCopies, speed_up

    layer = bnb.nn.Linear4bit(64, 32, bias=True, quant_type="nf4")
    layer.load_state_dict({"weight": torch.randn(32, 64), "bias": torch.randn(32)})
    model = nn.Sequential(layer.to("cpu")).requires_grad_(False)
    before, inputs = weights_hash(model), torch.randn(5, 64)
    speed_up(model, in_bfloat16=True)
    output = model(inputs)
    weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    assert torch.equal(output, functional.linear(inputs.bfloat16(), weight.bfloat16()).float() + layer.bias)
    copies = DequantizedCopies(model, Quantization(cache="always"), torch.bfloat16, CPU, None)
    assert torch.equal(model(inputs), output)
    assert copies.bytes == 2 * 64 * 32
    assert weights_hash(model) == before


@needs_bfloat16
@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_training_learns_and_leaves_the_base(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec], quant: str
) -> None:
    from sweep.training.adapters import adapter_parameters, detach

    base = load_tiny(f"{quant} bfloat16")
    before = weights_hash(base.model)
    losses: list[float] = []
    adapted = train(base, spec(steps=30), encoded, lambda model, step: losses.append(step.loss))
    assert {parameter.dtype for _, parameter in adapter_parameters(adapted)} == {torch.float32}
    assert sum(losses[-5:]) < sum(losses[:5])
    detach(adapted)
    assert weights_hash(base.model) == before
    assert {module.weight.dtype for module in linears(base)} <= {torch.bfloat16}


def test_what_cannot_multiply_bfloat16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Quantization(compute="bfloat16")
    monkeypatch.setattr(quantization, "onednn_multiplies_bfloat16", lambda: True)
    assert compute_dtype(asked, CPU) is torch.bfloat16
    with pytest.raises(ConfigurationError, match=r"quant\.compute=bfloat16: with quant=int8 .*float32"):
        compute_dtype(Quantization("int8", compute="bfloat16"), CPU)
    monkeypatch.setattr(quantization, "onednn_multiplies_bfloat16", lambda: False)
    with pytest.raises(ConfigurationError, match=r"quant\.compute=bfloat16: this processor .*quant\.compute=float32"):
        compute_dtype(asked, CPU)
    assert usable_on(asked, CPU).compute == "float32"
    assert compute_dtype(Quantization(compute="float32"), CPU) is torch.float32


def test_it_says_so_before_the_weights_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quantization, "onednn_multiplies_bfloat16", lambda: False)
    with pytest.raises(ConfigurationError, match="cannot multiply bfloat16"):
        load_base(TINY, Quantization(compute="bfloat16"), Paths(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_computes_in_bfloat16_only_in_hardware(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0) if native else (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    assert (compute_note(torch.float32, CUDA) is None) is native
    assert compute_note(torch.bfloat16, CUDA) is None
    expected = torch.bfloat16 if native else torch.float32
    assert compute_dtype(Quantization(), CUDA) is expected
    assert compute_dtype(Quantization(compute="float32"), CUDA) is torch.float32
    if native:
        assert compute_dtype(Quantization("int8", compute="bfloat16"), CUDA) is torch.bfloat16
    else:
        with pytest.raises(ConfigurationError, match=r"Tesla T4 does not multiply bfloat16"):
            compute_dtype(Quantization(compute="bfloat16"), CUDA)


@pytest.mark.parametrize(
    ("chip", "native"), [("gfx90a:sramecc+:xnack-", True), ("gfx1100", True), ("gfx906", False), ("odd", False)]
)
def test_not_every_amd_gpu_multiplies_bfloat16(chip: str, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.3")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(gcnArchName=chip))
    assert compute_dtype(Quantization(), CUDA) is (torch.bfloat16 if native else torch.float32)


def test_the_processor_needs_no_note() -> None:
    assert compute_note(torch.float32, CPU) is None


def test_all_of_a_gpu_and_the_products_alone_of_a_processor() -> None:
    assert model_dtype(torch.bfloat16, CUDA) is torch.bfloat16
    assert model_dtype(torch.bfloat16, CPU) is torch.float32
    assert dtype_name(torch.bfloat16) == "bfloat16"


def test_auto_on_a_processor_is_resolved_before(load_tiny: Loader) -> None:
    assert load_tiny("nf4").compute is torch.float32
    assert all("forward" not in module.__dict__ for _, module in quantized_modules(load_tiny("nf4").model))
