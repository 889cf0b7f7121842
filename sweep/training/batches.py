"""Batches: which examples, in which order, as which tensors."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch

from sweep.records import Training
from sweep.training.device_errors import is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.memory import release

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
    """The examples in training order, repeated for each epoch.

    With `train.replay`, general text takes the places of that share of the rows, evenly spread (`replay_places`). The task's own examples
    keep their order in the others.

    Args:
        examples: the task's, and with `train.replay` the general text among them.
    """
    needed = training.steps * training.batch_size * training.gradient_accumulation
    own = [item for item in examples if not item.replayed]
    places = replay_places(needed, training.replay)
    order = iter([own[index] for index in training_order(len(own), needed - len(places), seed)])
    if not places:
        return list(order)
    general = [item for item in examples if item.replayed]
    replayed = iter([general[index] for index in training_order(len(general), len(places), seed)])
    return [next(replayed if place in places else order) for place in range(needed)]


def replay_places(rows: int, share: float) -> frozenset[int]:
    """The places of general text among the rows of a training, from 0: every row at which the share adds up to another whole one."""
    exact = Fraction(str(share))
    return frozenset(row for row in range(rows) if exact and (row + 1) * exact // 1 > row * exact // 1)


def row_weights(step: Sequence[Encoded]) -> list[float] | None:
    """The weight of each token's loss, for each row of an optimizer step; None if all weigh the same, as they do without replay.

    General text is far longer than most completions. In a mean over all tokens a single passage would outweigh the task's examples.
    So the step's loss is the mean over the tokens of general text and the mean over those of the task's completions, each weighted by
    its share of the rows.
    """
    tokens = [0, 0]
    for item in step:
        tokens[item.replayed] += len(item.completion)
    if not all(tokens):
        return None
    general = sum(item.replayed for item in step) / len(step)
    weights = ((1 - general) / tokens[False], general / tokens[True])
    return [weights[item.replayed] for item in step]


def shortest_first(encoded: Sequence[Encoded]) -> list[int]:
    """Indices of the examples by length: batches of similar length need little padding."""
    return sorted(range(len(encoded)), key=lambda index: (len(encoded[index]), index))


@dataclass(frozen=True, slots=True)
class PassLimit:
    """A limit on the size of a pass whose examples are padded to the widest of them.

    Attributes:
        most: maximum of (number of examples) * (largest width), unless a single example exceeds it.
        widths: of each example, at least 1; for example its tokens.
    """

    most: int
    widths: Sequence[int]


def pass_limits(encoded: Sequence[Encoded], tokens: int, predictions: int, adapters: int = 1) -> list[PassLimit]:
    """The limits of a pass that runs each example under `adapters` adapters.

    Args:
        tokens, predictions: maxima per pass, padding included.
    """
    return [
        PassLimit(tokens // adapters, [len(item) for item in encoded]),
        PassLimit(predictions // adapters, [len(item.completion) for item in encoded]),
    ]


def in_batches(order: Sequence[int], limits: Sequence[PassLimit]) -> Iterator[list[int]]:
    """The examples in this order, in batches within all limits. An example that exceeds them alone is a batch of its own."""
    start = 0
    while start < len(order):
        batch = _batch_at(order, start, limits)
        yield batch
        start += len(batch)


def run_in_batches(order: Sequence[int], limits: Sequence[PassLimit], run: Callable[[list[int]], None]) -> None:
    """Calls `run` with each batch of `in_batches`; where memory runs out, again with at most half of that batch.

    Later batches stay as small. Only a single example that does not fit raises the error.

    Args:
        run: computes a batch; after an error it is called with some of the same examples again.
    """
    start = 0
    while start < len(order):
        batch = _batch_at(order, start, limits)
        try:
            run(batch)
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
        else:
            start += len(batch)
            continue
        release()  # outside of the handler, since the exception holds the tensors of the failed pass
        while len(_batch_at(order, start, limits)) > len(batch) // 2:
            limits = [replace(limit, most=limit.most // 2) for limit in limits]


def _batch_at(order: Sequence[int], start: int, limits: Sequence[PassLimit]) -> list[int]:
    """As many examples from `start` on as are within all limits; at least one."""
    widest = [0] * len(limits)
    for end in range(start, len(order)):
        widest = [max(before, limit.widths[order[end]]) for before, limit in zip(widest, limits, strict=True)]
        count = end + 1 - start
        if count > 1 and any(count * width > limit.most for width, limit in zip(widest, limits, strict=True)):
            return list(order[start:end])
    return list(order[start:])


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
