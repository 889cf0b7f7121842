"""Batches: which examples, in which order, as which tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from sweep.records import Training
from sweep.training.encoding import Encoded

IGNORED = -100
"""The label that torch's cross-entropy skips."""


def training_order(examples: int, needed: int, seed: int) -> list[int]:
    """Indices of the examples in training order, reshuffled for each epoch.

    Depends on the arguments only, so for a seed all ranks see the same examples in the same order.
    """
    generator = random.Random(f"training order {seed}")  # noqa: S311 (no secret)
    order: list[int] = []
    while len(order) < needed:
        epoch = list(range(examples))
        generator.shuffle(epoch)
        order.extend(epoch)
    return order[:needed]


def training_examples(examples: Sequence[Encoded], training: Training, seed: int) -> list[Encoded]:
    """The examples in training order, repeated for each epoch."""
    needed = training.steps * training.batch_size * training.gradient_accumulation
    return [examples[index] for index in training_order(len(examples), needed, seed)]


def by_length(encoded: Sequence[Encoded], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, which keeps padding small."""
    order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index]), index))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def longest_batch(ordered: Sequence[Encoded], size: int) -> Sequence[Encoded]:
    """The consecutive batch of `size` examples with the most tokens, padding included."""
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return max(batches, key=lambda batch: len(batch) * max(len(item) for item in batch))


class Collator:
    """Left-pads examples, so that all completions end in the last column.

    The model then needs to compute logits for the last few columns only (`logits_to_keep` of transformers' causal
    LMs): the output head and the cross-entropy skip the prompts.

    Args:
        keeps_logits: whether the model's forward accepts `logits_to_keep`.
        takes_positions: whether it accepts `position_ids`.
    """

    def __init__(self, pad_token_id: int, *, keeps_logits: bool, takes_positions: bool) -> None:
        self._pad = pad_token_id
        self._keeps_logits = keeps_logits
        self._takes_positions = takes_positions

    def __call__(self, batch: Sequence[Encoded]) -> dict[str, Any]:
        """Model inputs of shape (examples, longest), and `labels` of shape (examples, kept columns)."""
        width = max(len(item) for item in batch)
        kept = max(len(item.completion) for item in batch) + 1 if self._keeps_logits else width
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        labels = torch.full((len(batch), width), IGNORED)
        for row, item in enumerate(batch):
            ids[row, width - len(item) :] = torch.tensor(item.prompt + item.completion)
            mask[row, width - len(item) :] = 1
            labels[row, width - len(item.completion) :] = torch.tensor(item.completion)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "labels": labels[:, width - kept :]}
        if self._keeps_logits:
            inputs["logits_to_keep"] = kept
        if self._takes_positions:
            inputs["position_ids"] = positions(mask)
        return inputs

    def prompts(self, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """The prompts alone, left-padded for generation; shapes (examples, longest prompt)."""
        width = max(len(item.prompt) for item in batch)
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, item in enumerate(batch):
            ids[row, width - len(item.prompt) :] = torch.tensor(item.prompt)
            mask[row, width - len(item.prompt) :] = 1
        return {"input_ids": ids, "attention_mask": mask}


class RightPaddedCollator:
    """Right-pads examples for models with virtual tokens before the input.

    PEFT puts those before all columns and gives the model no positions. Padding on the left would then stand between them and the
    prompt, so that an example's loss would depend on its batch.
    """

    def __init__(self, pad_token_id: int) -> None:
        self._pad = pad_token_id

    def __call__(self, batch: Sequence[Encoded]) -> dict[str, Any]:
        """Model inputs and `labels`, of shape (examples, longest)."""
        width = max(len(item) for item in batch)
        ids = torch.full((len(batch), width), self._pad)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        labels = torch.full((len(batch), width), IGNORED)
        for row, item in enumerate(batch):
            ids[row, : len(item)] = torch.tensor(item.prompt + item.completion)
            mask[row, : len(item)] = 1
            labels[row, len(item.prompt) : len(item)] = torch.tensor(item.completion)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids that skip padding, from a left-padded mask of shape (examples, columns)."""
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)
