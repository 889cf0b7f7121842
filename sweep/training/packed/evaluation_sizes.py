"""How much one pass of an evaluation covers, by kind of device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sweep.training.forward import CACHED_TOKENS, EVALUATION_LOGITS, EVALUATION_TOKENS


@dataclass(frozen=True, slots=True)
class EvaluationSizes:
    """Maxima, as if each example were padded to the longest of its pass; an example that exceeds them has a pass of its own.

    Attributes:
        tokens: of a scoring pass.
        predictions: of a pass; with a large vocabulary, logits take most of the memory.
        cached: tokens in the key-value cache, which decide how many answers are decoded together.
    """

    tokens: int
    predictions: int
    cached: int


ON_A_CPU = EvaluationSizes(EVALUATION_TOKENS, EVALUATION_LOGITS, CACHED_TOKENS)
"""A few thousand tokens keep a core busy; more would take memory only."""

ON_A_GPU = EvaluationSizes(tokens=16_384, predictions=2048, cached=32_768)
"""A step of decoding reads all weights for one token of each answer, so it costs about the same for hundreds of answers as for ten.

With an 8B base a token in the cache takes 128 KiB (32 layers, 8 key heads of 128, bf16), so these take 4 GiB. Not measured.
"""


def evaluation_sizes(device: torch.device) -> EvaluationSizes:
    """The sizes for a device."""
    return ON_A_CPU if device.type == "cpu" else ON_A_GPU
