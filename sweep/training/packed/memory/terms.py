"""The terms of a worker's memory on a GPU, each with the code that it comes from. Pure arithmetic; all results are bytes.

On a CPU the terms that depend on GPU kernels are zero: there the model of `model.py` is fitted to resident memory, which
includes them.
"""

from __future__ import annotations

from collections.abc import Iterable

FP32_BYTES = 4

QUANTIZED_BLOCK = 64
"""Weights per quantization constant in NF4 and FP4 (bitsandbytes' default block size)."""

FRAGMENTATION = 0.05
"""Share of the memory of passes that the allocator reserves beyond what is allocated. An assumption, not a measurement: `tests/gpu`
compares it with `torch.cuda.max_memory_reserved`."""

SEGMENT = 2 * 2**20
"""The caching allocator asks the device for multiples of this (`kRoundLarge` in c10/cuda/CUDACachingAllocator.cpp)."""

SMALL_SEGMENTS = 20 * 2**20
"""Blocks of 1 to 10 MB come from segments of this size (`kLargeBuffer`), of which the last is partly empty."""


def optimizer_state(parameters: int) -> int:
    """A trial's trainable parameters in training, in fp32: parameter, gradient and AdamW's two moments (`pack.Slot.bytes`)."""
    return 4 * FP32_BYTES * parameters


def compute_copies(parameters: int, number_bytes: int) -> int:
    """A and B in the type of the products, which each step makes of the fp32 parameters; none where that is fp32."""
    return number_bytes * parameters if number_bytes < FP32_BYTES else 0


def dequantized_weight(numbers: int, number_bytes: int) -> int:
    """The largest quantized weight while it is multiplied, whatever the number of tokens.

    bitsandbytes dequantizes a 4-bit weight whole in the backward pass, and in the forward pass above a few rows (`MatMul4Bit` in
    autograd/_functions.py, `_dequant_linear_fallback` in backends), after its quantization constants (double quantization); an 8-bit
    weight in the backward pass (`MatMul8bitLt`).
    """
    return numbers * number_bytes + FP32_BYTES * -(-numbers // QUANTIZED_BLOCK) if numbers else 0


def attention_bias(tables: Iterable[tuple[int, int, int]], number_bytes: int, copies: int) -> int:
    """The masks of all tables, and the biases that all layers share; both quadratic in the length.

    A bias has one number per query and key of a sequence, the same for all heads (`attention.py`; torch's memory-efficient kernel
    reads it through a broadcast). A mask has one byte.

    Args:
        tables: sequences, queries and keys of each table.
        copies: biases that a pass keeps, each of the plain size.
    """
    return (1 + copies * number_bytes) * sum(sequences * queries * keys for sequences, queries, keys in tables)


def bias_copies(heads: int, key_heads: int) -> int:
    """Upper limit of the biases that a pass keeps, in units of a plain one.

    Where no kernel takes grouped queries, the heads that share a key head become more queries, and the bias is repeated for them.
    """
    return 1 if heads == key_heads else 1 + heads // key_heads


def logits(predictions: int, vocabulary: int, at_once: int) -> int:
    """The logits that exist at once, in fp32 (`output_head.py`)."""
    return FP32_BYTES * vocabulary * min(predictions, at_once)


def reserved(allocated: float, resident: int) -> float:
    """What the allocator takes from the device at this peak of allocated memory.

    `budget.memory` (`torch.cuda.set_per_process_memory_fraction`) and the device limit what is reserved, not what is allocated.

    Args:
        resident: what is reserved before, after the cache was emptied.
    """
    taken = allocated - resident
    if taken <= 0:
        return allocated
    segments = -(-taken * (1 + FRAGMENTATION) // SEGMENT) * SEGMENT
    return resident + segments + SMALL_SEGMENTS
