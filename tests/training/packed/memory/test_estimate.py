"""What an 8B base takes on a GPU of 24 GB, from its configuration alone: no weights, no GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from sweep.records import Arm
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed.memory.capacity import RESERVE, Forecast
from sweep.training.packed.memory.estimate import (
    adapters_kept,
    checkpoint_kept,
    estimated_evaluation,
    estimated_training,
    layer_kept,
    sizes_of,
    widths_of,
)
from sweep.training.packed.memory.model import MemoryModel, parameters_of, shape_of
from sweep.training.packed.memory.terms import QUANTIZED_BLOCK
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from tasks import Example
from tests.conftest import arm
from tests.training.conftest import load_tiny

__all__ = ["load_tiny"]

LLAMA_8B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128_256,
    max_position_embeddings=131_072,
    tie_word_embeddings=False,
)
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GB = 10**9
CARDS = {"RTX 3090, RTX 4090": (24_564 * 2**20, 4), "A10, L4": (22_500 * 2**20, 4)}
"""Memory as the driver reports it, and the slots promised at rank 16 on all linear modules for 4 examples of 1,024 tokens each, 16 of
which are the completion."""
CONTEXT = 600 * 2**20
"""What a CUDA context takes beside the allocator; an assumption."""


def recipe(rank: int) -> Arm:
    return replace(arm(rank), targets=ALL, dropout=0.0)


@pytest.fixture(scope="module")
def linear() -> dict[str, nn.Linear]:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LLAMA_8B)
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


@pytest.fixture(scope="module")
def base_bytes(linear: dict[str, nn.Linear]) -> int:
    """The base in NF4 with double quantization; embedding and output head in bf16, as bitsandbytes leaves them."""
    quantized = sum(module.weight.numel() for name, module in linear.items() if name != "lm_head")
    per_weight = 0.5 + (1 + 4 / 256) / QUANTIZED_BLOCK
    return round(quantized * per_weight) + 2 * 2 * 128_256 * 4096


def item(prompt: int, completion: int, start: int) -> Encoded:
    return Encoded(Example(prompt="", completion=""), (start, *[1] * (prompt - 1)), (2,) * completion)


def batch_of_1024(completion: int) -> list[Encoded]:
    return [item(1024 - completion, completion, number) for number in range(4)]


def forecast(
    base_bytes: int, linear: dict[str, nn.Linear], batch: Sequence[Encoded], rank: int, *, checkpointing: bool
) -> Forecast:
    largest = max(module.weight.numel() for name, module in linear.items() if name != "lm_head")
    sizes = sizes_of(LLAMA_8B, 2, on_gpu=True, largest_weight=largest)
    widths, trained = widths_of(LLAMA_8B, sizes), recipe(rank)
    shapes = {name: (module.in_features, module.out_features) for name, module in linear.items() if name != "lm_head"}
    model = MemoryModel(
        sizes,
        base_bytes,
        estimated_training(sizes, widths, trained, checkpointing=checkpointing),
        estimated_evaluation(widths),
    )
    return Forecast(model, parameters_of(trained, shapes, shapes), frozenset([shape_of(batch)]), [(batch, None)])


def test_the_base_takes_what_it_is_known_to(base_bytes: int, linear: dict[str, nn.Linear]) -> None:
    # 32 layers of 218,103,808 weights, and the output head
    assert sum(module.weight.numel() for module in linear.values()) == 32 * 218_103_808 + 128_256 * 4096
    assert base_bytes == pytest.approx(5.7 * GB, rel=0.03)


@pytest.mark.parametrize("card", CARDS)
def test_a_slot_without_checkpointing_does_not_fit_and_with_it_several_do(
    base_bytes: int, linear: dict[str, nn.Linear], card: str
) -> None:
    batch, (total, promised) = batch_of_1024(16), CARDS[card]
    limit = total - CONTEXT
    without = forecast(base_bytes, linear, batch, 16, checkpointing=False)
    assert without.peak(1) > total
    # 6.2 MB per token: 25 GB of activations for 4 examples of 1,024 tokens
    assert 25 * GB < without.peak(1) - base_bytes < 29 * GB
    with_it = forecast(base_bytes, linear, batch, 16, checkpointing=True)
    assert with_it.slots_within(limit, 16) == promised
    assert with_it.peak(promised) <= (1 - RESERVE) * limit


def test_long_completions_take_little_more_since_logits_come_in_chunks(
    base_bytes: int, linear: dict[str, nn.Linear]
) -> None:
    short, long = (
        forecast(base_bytes, linear, batch_of_1024(completion), 16, checkpointing=True).model.training_peak(
            4, 0, [shape_of(batch_of_1024(completion))]
        )
        for completion in (16, 512)
    )
    # all logits at once would take 4 * 2,048 * 128,256 * 16 bytes: 17 GB
    assert long - short < 1.1 * GB


def test_a_layer_by_hand() -> None:
    widths = widths_of(LLAMA_8B, sizes_of(LLAMA_8B, 2, on_gpu=True))
    norms, attention, feed_forward = 2 * 4 * 4096, 2 * 4096, 3 * 2 * 14_336
    # inputs of q k v together, of o, of gate and up together, and of down; and A's output of seven modules
    adapters = 2 * (4096 + 4096 + 4096 + 14_336) + 2 * 16 * 7
    assert layer_kept(widths, recipe(16)) == norms + attention + feed_forward + adapters
    assert checkpoint_kept(widths) == 2 * 4096
    masks = 2 * (3 * 4096 + 4096 + 2 * 4096 + 14_336)
    dropped = replace(recipe(16), dropout=0.1)
    assert adapters_kept(widths, dropped, shared=True) == adapters + masks
    # PEFT keeps a copy of the input for each module
    assert adapters_kept(widths, recipe(16), shared=False) == masks + 2 * 16 * 7


SMALL = LlamaConfig(
    hidden_size=64,
    intermediate_size=224,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    vocab_size=400,
    attn_implementation="sdpa",
)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ALL])
def test_the_estimate_is_what_autograd_keeps_of_a_pack_in_bfloat16(
    load_tiny: Callable[[str], LoadedBase], monkeypatch: pytest.MonkeyPatch, targets: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sweep.training.packed.pack.use_blocks", lambda model: 0)  # a CPU's own feed-forward blocks
    model = AutoModelForCausalLM.from_config(SMALL, dtype=torch.bfloat16).requires_grad_(False)
    linear = tuple(name for name, each in model.named_modules() if isinstance(each, nn.Linear) and name != "lm_head")
    pack = Pack(replace(load_tiny("none"), model=model, linear_modules=linear))
    trained = replace(recipe(4), targets=targets)
    adapter = pack.adapter(trained)
    adapter.initialize(0)
    batch = [item(600, 4, number) for number in range(2)]  # longer than what a CPU computes by plain products
    constants = {
        each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers(), *adapter.vectors)
    }
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        is_bias = tensor.ndim > 1 and min(tensor.shape[-2:]) > 512
        if tensor.is_floating_point() and not is_bias and storage.data_ptr() not in constants:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pack.accumulate([SlotBatch(adapter, batch, 8)])
    sizes = sizes_of(SMALL, 2, on_gpu=False)
    widths, shape = widths_of(SMALL, sizes), shape_of(batch)
    expected = SMALL.num_hidden_layers * (layer_kept(widths, trained) * shape.tokens + sizes.gathered(shape))
    assert sum(saved.values()) == pytest.approx(expected, rel=RELATIVE)


RELATIVE = 0.1
"""Rotary tables, biases, the log-sums of attention and the first layer, whose inputs have no gradient, are not in the estimate."""
