"""Each term of the memory model on a GPU, compared with arithmetic by hand for Llama-3.1-8B: hidden 4,096, inner 14,336, bf16."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.training.packed.memory import terms
from sweep.training.packed.memory.model import MemoryModel, ModelSizes, PassCosts, PassShape
from sweep.training.packed.tables import rounded_width

MB = 10**6
GPU = ModelSizes(
    layers=32,
    heads=32,
    query_width=4096,
    key_width=1024,
    vocabulary=128_256,
    number_bytes=2,
    scores_held=0,
    logits_at_once=523,
    largest_weight=14_336 * 4096,
    on_gpu=True,
)
FOUR_LONG = PassShape(tokens=4096, predictions=64, tables=((4, 1024, 1024),))


def test_the_optimizer_keeps_four_numbers_of_fp32_per_parameter() -> None:
    assert terms.optimizer_state(41_943_040) == 4 * 4 * 41_943_040 == 671_088_640


def test_an_adapter_is_copied_to_the_type_of_the_products() -> None:
    assert terms.compute_copies(1000, 2) == 2000
    assert terms.compute_copies(1000, 4) == 0
    assert replace(GPU, on_gpu=False).compute_copies(1000) == 0


def test_the_largest_weight_is_dequantized_whole_with_its_constants() -> None:
    weight, constants = 14_336 * 4096 * 2, 14_336 * 4096 // 64 * 4
    assert terms.dequantized_weight(14_336 * 4096, 2) == weight + constants == 117_440_512 + 3_670_016
    assert terms.dequantized_weight(0, 2) == 0
    # whatever the number of tokens
    one = PassShape(1, 1, ((1, 16, 16),))
    ones = terms.attention_bias(one.tables, 2, 5)
    assert GPU.fixed(one) == weight + constants + ones


def test_a_bias_is_quadratic_in_the_length_and_shared_by_heads_and_layers() -> None:
    pairs = 4 * 1024 * 1024
    assert terms.attention_bias(FOUR_LONG.tables, 2, 1) == pairs * (2 + 1)
    assert terms.attention_bias(((4, 2048, 2048),), 2, 1) == 4 * pairs * 3
    assert terms.bias_copies(32, 32) == 1
    # where heads that share a key head become queries, the bias is repeated for each, beside the plain one
    assert terms.bias_copies(32, 8) == 1 + 4
    assert GPU.key_heads == 8


@pytest.mark.parametrize(("length", "width"), [(1, 16), (16, 16), (17, 32), (200, 208), (1000, 1024), (1025, 1152)])
def test_widths_are_rounded_up_on_a_gpu(length: int, width: int) -> None:
    assert rounded_width(length) == width


@given(st.integers(1, 10_000))
def test_a_rounded_width_adds_an_eighth_at_most_beyond_short_ones(length: int) -> None:
    width = rounded_width(length)
    assert length <= width <= max(length + 15, length + length // 8 + 1)


def test_logits_exist_in_chunks() -> None:
    assert terms.logits(64, 128_256, 523) == 4 * 128_256 * 64
    assert terms.logits(4096, 128_256, 523) == 4 * 128_256 * 523 == 268_311_552
    assert GPU.logits(FOUR_LONG.times(64)) == GPU.logits(FOUR_LONG.times(512))


def test_the_allocator_reserves_segments_and_a_share_more() -> None:
    assert terms.reserved(10**9, 10**9) == 10**9
    taken = 100 * MB
    share = 105 * MB
    segments = -(-share // (2 * 2**20)) * 2 * 2**20
    assert terms.reserved(10**9 + taken, 10**9) == 10**9 + segments + 20 * 2**20


def test_a_peak_by_hand() -> None:
    costs = PassCosts(layers=32, tables=0, token=100_000.0, logits=4.0)
    model = MemoryModel(GPU, 6 * 10**9, costs, costs)
    gathered = 32 * 2 * 4096 * (4096 + 2 * 1024)
    logits = 4 * 4 * 128_256 * 64
    taken = GPU.fixed(FOUR_LONG) + gathered + 4096 * 100_000 + logits
    state = (16 + 2) * 1_000_000
    expected = terms.reserved(6 * 10**9 + state + taken, 6 * 10**9)
    assert model.training_peak(1, 1_000_000, [FOUR_LONG]) == expected
    # the weight is there once, whatever the number of slots
    two = model.training_peak(2, 1_000_000, [FOUR_LONG]) - model.training_peak(1, 1_000_000, [FOUR_LONG])
    once = terms.dequantized_weight(GPU.largest_weight, 2)
    assert two == pytest.approx(1.05 * (state + taken - once), abs=2 * terms.SEGMENT)


def test_the_cpu_has_none_of_these_terms() -> None:
    cpu = replace(GPU, on_gpu=False, largest_weight=0)
    assert cpu.fixed(FOUR_LONG) == 0
    costs = PassCosts(layers=1, tables=0, token=1.0, logits=0.0)
    model = MemoryModel(cpu, 10**9, costs, costs)
    assert model.training_peak(1, 10, [PassShape(5, 1, ())]) == 10**9 + 160 + 5
