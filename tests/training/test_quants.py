"""Every quantization of the table: both engines train the same on it, and its description is that of bitsandbytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sweep.methods import methods
from sweep.records import Quantization, TrialSpec
from sweep.records.quants import KINDS, QUANTS, SMALLEST, transformers_settings
from sweep.training.adapters import detach
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed.pack import Pack
from sweep.training.quantization import quantization_config, quantized_modules
from sweep.training.trainer_engine import train
from tests.training.packed.test_packed_like_alone import LOSS, trained

Loader = Callable[[str], LoadedBase]


@pytest.mark.parametrize("quant", ["fp4", "fp4 copied", "fp4 single", "nf4 single"])
def test_packed_equals_alone_and_the_trainer(
    load_tiny: Loader, encoded: list[Encoded], spec: Callable[..., TrialSpec], quant: str
) -> None:
    one, base = spec(8, steps=10, rate=5e-3), load_tiny(quant)
    assert bool(base.copies.bytes) == ("copied" in quant)
    (_, packed), *_ = trained(Pack(base), [one, spec(2, seed=5, steps=10)], encoded)
    ((_, alone),) = trained(Pack(base), [one], encoded)
    history: list[float] = []
    detach(train(base, one, encoded, lambda model, step: history.append(step.loss)))
    assert packed == pytest.approx(alone, abs=LOSS)
    assert packed == pytest.approx(history, abs=LOSS)
    assert sum(packed[-3:]) < sum(packed[:3])


@pytest.mark.parametrize("quant", QUANTS)
def test_what_bitsandbytes_is_asked_for(load_tiny: Loader, quant: str) -> None:
    kind, config = KINDS[quant], quantization_config(Quantization(quant), torch.float32)
    assert (config is not None) == (kind.bits < 32) == bool(list(quantized_modules(load_tiny(quant).model)))
    assert (config is not None and config.load_in_4bit) == kind.blocks
    for double in (True, False):
        settings = transformers_settings(quant, double_quant=double)
        assert settings.get("bnb_4bit_use_double_quant", None) == (double if kind.blocks else None)


def test_the_smallest_has_the_fewest_bits_and_every_method_says_what_it_trains_on() -> None:
    assert KINDS[SMALLEST].bits == min(kind.bits for kind in KINDS.values())
    for method in methods().values():
        assert set(method.quants) <= set(QUANTS)
        assert ("nf4" in method.quants) == ("fp4" in method.quants), "both are stored alike"
