"""The quantizations of a base model, `quant=NAME`, and what follows from each: one table, asked wherever they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuantKind:
    """How `quant=NAME` stores the weights of linear modules.

    Attributes:
        words: what it is, in a few words.
        bits: per weight, without constants.
        blocks: whether weights are stored in blocks with a constant each, as 4-bit types are. Then the constants can be quantized too
            (`quant.double_quant`), a dequantized copy can be kept (`quant.cache`), and products are of dequantized weights.
        whole_numbers: whether a product is one of whole numbers, in no other type.
        memory: bytes of memory per parameter of the whole model, estimated; above bits / 8, since embeddings and output head are not
            quantized.
    """

    name: str
    words: str
    bits: int
    blocks: bool
    whole_numbers: bool
    memory: float


KINDS: Mapping[str, QuantKind] = {
    kind.name: kind
    for kind in (
        QuantKind("nf4", "4-bit NormalFloat", 4, blocks=True, whole_numbers=False, memory=1.0),
        QuantKind("fp4", "4-bit floats", 4, blocks=True, whole_numbers=False, memory=1.0),
        QuantKind("int8", "8-bit integers", 8, blocks=False, whole_numbers=True, memory=1.5),
        QuantKind("none", "the weights as they are", 32, blocks=False, whole_numbers=False, memory=4.0),
    )
}

QUANTS = tuple(KINDS)
"""The values of `quant`."""

SMALLEST = "nf4"
"""The quantization that takes the least memory at the smallest error."""


def base_words(name: str) -> str:
    """`on nf4`, or `on the unquantized base`: after the name of what is trained on it."""
    return "on the unquantized base" if KINDS[name].bits == 32 else f"on {name}"


def transformers_settings(name: str, *, double_quant: bool) -> dict[str, object]:
    """The arguments of transformers' `BitsAndBytesConfig`, beside the type of products; none where nothing is quantized."""
    kind = KINDS.get(name)
    if kind is None or kind.bits == 32:
        return {}
    if kind.blocks:
        return {"load_in_4bit": True, "bnb_4bit_quant_type": name, "bnb_4bit_use_double_quant": double_quant}
    return {"load_in_8bit": True, "llm_int8_threshold": 0.0}
