"""The Gram matrices for cutting are those of the base's own inputs, without padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sweep.errors import TrialFailed
from sweep.training.base_model import LoadedBase
from sweep.training.batches import Collator
from sweep.training.encoding import Encoded
from sweep.training.input_grams import CALIBRATION_EXAMPLES, calibration_examples, input_grams
from sweep.training.packed.pack import Pack
from sweep.training.quantization import check_trainable_format, weights_hash

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj", "model.layers.1.mlp.down_proj")


def downs(base: LoadedBase, rank: int, seed: int, layers: tuple[str, ...] = LAYERS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    modules = {name: base.model.get_submodule(name) for name in layers}
    return {name: torch.randn(rank, int(module.in_features), generator=generator) for name, module in modules.items()}


def one_by_one(base: LoadedBase, down: torch.Tensor, layer: str, encoded: list[Encoded]) -> torch.Tensor:
    """The Gram matrix from passes over single examples, which have no padding."""
    seen: list[torch.Tensor] = []
    handle = base.model.get_submodule(layer).register_forward_hook(
        lambda module, arguments, output: seen.append(arguments[0][0])
    )
    base.model.eval()
    with torch.no_grad():
        for item in encoded:
            base.model(input_ids=torch.tensor([item.prompt + item.completion]))
    handle.remove()
    inputs = torch.cat(seen).double()
    return down.double() @ (inputs.t() @ inputs / len(inputs)) @ down.double().t()


@pytest.mark.parametrize("engine", ["packed", "trainer"])
def test_they_are_those_of_single_examples(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], engine: str
) -> None:
    base = load_tiny("none")
    if engine == "packed":
        Pack(base)  # the base computes attention in another way afterwards
    adapters = [downs(base, 4, 0), downs(base, 6, 1, LAYERS[:1])]
    grams = input_grams(base, adapters, encoded)
    assert [set(one) for one in grams] == [set(one) for one in adapters]
    for adapter, own in zip(adapters, grams, strict=True):
        for name, gram in own.items():
            expected = one_by_one(base, adapter[name], name, encoded)
            torch.testing.assert_close(gram, expected, rtol=1e-4, atol=1e-4 * float(expected.trace()))
        (alone,) = input_grams(base, [adapter], encoded)
        assert all(torch.equal(alone[name], own[name]) for name in own)


def test_a_model_of_any_forward_does(load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]) -> None:
    base = load_tiny("none")
    plain = replace(base, collator=Collator(base.tokenizer.pad_token_id, keeps_logits=False, takes_positions=True))
    (expected,), (grams,) = (input_grams(one, [downs(base, 2, 0)], encoded) for one in (base, plain))
    torch.testing.assert_close(grams, expected)


def test_quantized_weights_stay_as_they_are(load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]) -> None:
    base = load_tiny("nf4")
    before = weights_hash(base.model)
    (grams,) = input_grams(base, [downs(base, 3, 0)], encoded)
    assert all(bool((torch.linalg.eigvalsh(gram) > 0).all()) for gram in grams.values())
    check_trainable_format(base.model)
    assert weights_hash(base.model) == before


def test_an_adapter_of_another_base_is_refused(load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]) -> None:
    with pytest.raises(TrialFailed, match="no linear module elsewhere"):
        input_grams(load_tiny("none"), [{"elsewhere": torch.zeros(2, 3)}], encoded)


def test_the_examples_are_few_and_always_the_same(encoded: list[Encoded]) -> None:
    many = [replace(encoded[0], prompt=(number,)) for number in range(3 * CALIBRATION_EXAMPLES)]
    chosen = calibration_examples(many)
    assert len({item.prompt for item in chosen}) == CALIBRATION_EXAMPLES
    assert chosen == calibration_examples(many)
    assert max(item.prompt[0] for item in chosen) >= CALIBRATION_EXAMPLES
    assert sorted(item.prompt for item in calibration_examples(encoded)) == sorted(item.prompt for item in encoded)
