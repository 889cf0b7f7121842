"""Losses of given completions for all slots in shared passes; the instruction that prompts begin with goes through once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from sweep.training.base_model import LoadedBase
from sweep.training.batches import by_length
from sweep.training.encoding import Encoded
from sweep.training.forward import SCORE_TOKENS, CompletionLoss
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.layout import lay_out
from sweep.training.packed.pack import Pack
from sweep.training.packed.slots import Share
from sweep.training.quantization import evaluating


def packed_losses(
    base: LoadedBase,
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    encoded: Sequence[Encoded],
    on_progress: Callable[[int], None] | None = None,
) -> list[list[CompletionLoss]]:
    """The loss of each example's completion under each adapter, in the order of `adapters` and `encoded`.

    Args:
        adapters: None stands for the bare base.
        on_progress: told how many examples are done.
    """
    losses: list[dict[int, CompletionLoss]] = [{} for _ in adapters]
    longest = max((len(item) for item in encoded), default=1)
    at_once = max(1, SCORE_TOKENS // (longest * len(adapters)))
    with evaluating(base.model):
        for indices in by_length(encoded, at_once):
            batch = [encoded[index] for index in indices]
            layout = lay_out([batch] * len(adapters)).to(base.device)
            shares = [Share(adapter, rows) for adapter, rows in zip(adapters, layout.slot_tokens, strict=True)]
            with pack.passing(layout, shares) as logits:
                nats = functional.cross_entropy(logits, layout.labels, reduction="none")
                wanted = logits.argmax(dim=-1) == layout.labels
            parts = zip(nats.split(layout.completions), wanted.split(layout.completions), strict=True)
            for number, (part, right) in enumerate(parts):
                losses[number // len(indices)][indices[number % len(indices)]] = CompletionLoss(
                    float(part.sum(dtype=torch.float64)), len(part), bool(right.all())
                )
            if on_progress:
                on_progress(len(losses[0]))
    return [[found[index] for index in range(len(encoded))] for found in losses]
