"""Batches: which examples, in which order, and how they are laid out as tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from sweep.records import Training
from sweep.training.encoding import Encoded

IGNORED = -100
"""The label that torch's cross-entropy leaves out."""


def training_order(examples: int, needed: int, seed: int) -> list[int]:
    """The indices of the examples in the order in which they are trained on.

    Depends on nothing but the arguments, so every rank sees the same data in the same order for a seed. Each pass over
    the data is shuffled anew.
    """
    generator = random.Random(f"training order {seed}")  # noqa: S311 (no secret)
    order: list[int] = []
    while len(order) < needed:
        epoch = list(range(examples))
        generator.shuffle(epoch)
        order.extend(epoch)
    return order[:needed]


def training_examples(examples: Sequence[Encoded], training: Training, seed: int) -> list[Encoded]:
    """The examples in the order of training, one entry for each time an example is used."""
    needed = training.steps * training.batch_size * training.gradient_accumulation
    return [examples[index] for index in training_order(len(examples), needed, seed)]


def by_length(encoded: Sequence[Encoded], size: int) -> Iterator[list[int]]:
    """Indices in batches of about equal length, so that little is padded."""
    order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index]), index))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def longest_batch(ordered: Sequence[Encoded], size: int) -> Sequence[Encoded]:
    """Of the batches of `size` that `ordered` falls into, the one with the most tokens, padding included."""
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return max(batches, key=lambda batch: len(batch) * max(len(item) for item in batch))


class Collator:
    """Lays examples out left-padded, so that all completions end in the last column.

    Logits are then needed for the last few columns only (`logits_to_keep`, which transformers' causal LMs understand):
    the output head and the cross-entropy run on completion tokens, not on prompts.
    """

    def __init__(self, pad_token_id: int, *, keeps_logits: bool, takes_positions: bool) -> None:
        self._pad = pad_token_id
        self._keeps_logits = keeps_logits
        self._takes_positions = takes_positions

    def __call__(self, batch: Sequence[Encoded]) -> dict[str, Any]:
        """Tensors of shape (examples, longest); `labels` of shape (examples, kept columns)."""
        width = max(len(item) for item in batch)
        kept = max(len(item.completion) for item in batch) + 1 if self._keeps_logits else width
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        labels = torch.full((len(batch), width), IGNORED)
        for row, item in enumerate(batch):
            ids[row, width - len(item) :] = torch.tensor(item.prompt + item.completion)
            mask[row, width - len(item) :] = 1
            labels[row, width - len(item.completion) :] = torch.tensor(item.completion)
        laid_out: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "labels": labels[:, width - kept :]}
        if self._keeps_logits:
            laid_out["logits_to_keep"] = kept
        if self._takes_positions:
            laid_out["position_ids"] = positions(mask)
        return laid_out

    def prompts(self, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """The prompts alone, left-padded, for generation; shapes (examples, longest prompt)."""
        width = max(len(item.prompt) for item in batch)
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, item in enumerate(batch):
            ids[row, width - len(item.prompt) :] = torch.tensor(item.prompt)
            mask[row, width - len(item.prompt) :] = 1
        return {"input_ids": ids, "attention_mask": mask}


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions that count real tokens only, from a left-padded mask of shape (examples, columns)."""
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)
