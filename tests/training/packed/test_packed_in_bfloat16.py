"""The contract of the packed engine with `quant.compute=bfloat16`: alone, with neighbours and in the Trainer.

Where two orders of adding differ by fp32's rounding (2^-24), few inputs of a product come to lie on another side of a border between
two numbers of bf16: a share of 2^-24 / 2^-9, each by about 2^-9. Their root mean square is sqrt(2^-24 * 2^-9), so differences are
sqrt(2^15) = 181 times as large as in fp32, where the contract is 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from sweep.records import TrialSpec
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.packed.engine import PackedEngine
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from sweep.training.quantization import onednn_multiplies_bfloat16
from sweep.training.trainer_engine import train
from tests.training.packed.test_packed_like_alone import ALL, LOSS, furthest, mixed, trained

pytestmark = pytest.mark.skipif(not onednn_multiplies_bfloat16(), reason="this processor does not multiply bf16")

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]

UNIT = 2.0**-9
LOSS_IN_BFLOAT16 = LOSS * math.sqrt(2**15)
"""Nats by which losses may differ between packed, alone and Trainer."""


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_packed_equals_alone(load_tiny: Loader, encoded: list[Encoded], spec: Maker, quant: str) -> None:
    pack, specs = Pack(load_tiny(f"{quant} bfloat16")), mixed(spec, 20)
    together = trained(pack, specs, encoded)
    for number, (slot, losses) in enumerate(together):
        ((alone, alone_losses),) = trained(pack, [specs[number]], encoded)
        assert losses == pytest.approx(alone_losses, abs=LOSS_IN_BFLOAT16)
        assert furthest(slot, alone) < 1e-2


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_packed_equals_the_trainer(load_tiny: Loader, encoded: list[Encoded], spec: Maker, quant: str) -> None:
    base = load_tiny(f"{quant} bfloat16")
    one = spec(8, steps=30, targets=ALL)
    one = replace(one, training=replace(one.training, gradient_accumulation=2))
    (_, losses), *_ = trained(Pack(base), [one, spec(2, seed=5, steps=30)], encoded)
    history: list[float] = []
    detach(train(base, one, encoded, lambda model, step: history.append(step.loss)))
    assert losses == pytest.approx(history, abs=LOSS_IN_BFLOAT16)


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_losses_and_gradients_are_close_to_fp32(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, quant: str
) -> None:
    def losses_and_gradient(base: LoadedBase) -> tuple[list[float], torch.Tensor]:
        pack = Pack(base)
        slot = pack.add(spec(8, targets=ALL), encoded)
        with torch.no_grad():  # B of a trained adapter, so that A has a gradient too
            slot.adapter.vectors[1].normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
        slot.adapter.zero_gradients()
        tokens = sum(len(item.completion) for item in encoded)
        pack.accumulate([SlotBatch(slot.adapter, encoded, tokens)])
        (losses,) = packed_losses(base, pack, [slot.adapter], encoded)
        pack.remove(slot)
        gradients = [vector.grad for vector in slot.adapter.vectors if vector.grad is not None]
        return [loss.nats for loss in losses], torch.cat(gradients)

    losses, gradient = losses_and_gradient(load_tiny(f"{quant} bfloat16"))
    exact_losses, exact_gradient = losses_and_gradient(load_tiny(quant))
    # independent roundings add up as their root: two factors and the result of every product, forward and backward
    products = len(load_tiny(quant).linear_modules)
    error = UNIT * math.sqrt(3 * 2 * products)
    assert losses != exact_losses
    assert losses == pytest.approx(exact_losses, rel=error)
    assert float((gradient - exact_gradient).norm() / exact_gradient.norm()) < error
    bias = sum(one - other for one, other in zip(losses, exact_losses, strict=True)) / len(losses)
    assert abs(bias) < error


def test_training_is_close_to_fp32(load_tiny: Loader, encoded: list[Encoded], spec: Maker) -> None:
    specs: Sequence[TrialSpec] = mixed(spec, 20)[:3]
    ours, exact = (trained(Pack(load_tiny(quant)), specs, encoded) for quant in ("nf4 bfloat16", "nf4"))
    for (_, losses), (_, expected) in zip(ours, exact, strict=True):
        assert losses == pytest.approx(expected, abs=LOSS_IN_BFLOAT16)


def test_a_saved_adapter_gives_the_same_loss_in_peft(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path
) -> None:
    base = load_tiny("none bfloat16")
    engine = PackedEngine(base, encoded[:3])
    engine.begin(spec(8, steps=10, targets=ALL), encoded, lambda adapted, step: None)
    while not (ended := engine.advance()):
        pass
    assert ended[0].adapted is not None
    ended[0].adapted.save(tmp_path)
    ours = [loss.nats for loss in engine.load(tmp_path).losses(encoded)]
    adapted = PeftModel.from_pretrained(base.model, str(tmp_path))
    theirs = [loss.nats for loss in completion_losses(base, adapted, encoded)]
    detach(adapted)
    assert ours == pytest.approx(theirs, abs=LOSS_IN_BFLOAT16)
