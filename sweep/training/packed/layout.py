"""How the batches of several slots become one row of tokens: nothing padded, nothing computed twice.

A slot is one trial's place in the pack. Its tokens lie together: first the instruction that all its examples begin with, once,
then what is left of each example. Every example attends to that instruction and to itself, so its states are the same as
if it had gone through the model alone, and gradients of the shared part add up over the examples that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sweep.training.encoding import Encoded


@dataclass(frozen=True, slots=True)
class Layout:
    """One pass over the base. A token's index is its place in the row.

    Attributes:
        ids: token ids, shape (tokens,).
        positions: each token's position in its own example, shape (tokens,).
        slot_tokens: how many tokens each slot has, in order; their sum is `tokens`.
        slot_examples: how many examples each slot has, in order.
        queries: tokens by sequence, shape (sequences, longest query); short ones are filled up with a token of their own.
        keys: the tokens that a sequence attends to, in order, shape (sequences, longest key), filled up likewise. With a cache
            they are places in it.
        mask: which key each query sees, bool, shape (sequences, 1, longest query, longest key).
        places: where each token is in `queries`, flattened, shape (tokens,).
        kept: the tokens whose logits predict a completion's token, shape (predictions,), example by example.
        labels: the tokens to be predicted, shape (predictions,).
        completions: how many predictions each example has, in order.
        sequences: each example's row in `queries` and `keys`.
        columns: the position of each key, shape as `keys`; None where a sequence's keys are its positions from 0 on.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    slot_tokens: tuple[int, ...]
    slot_examples: tuple[int, ...]
    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor
    kept: torch.Tensor
    labels: torch.Tensor
    completions: tuple[int, ...]
    sequences: tuple[int, ...]
    columns: torch.Tensor | None = None

    def within(self, window: int) -> torch.Tensor:
        """The mask of a model whose tokens see only the last `window` positions, their own included."""
        columns = torch.arange(self.keys.shape[1], device=self.keys.device) if self.columns is None else self.columns
        columns = columns.expand(self.keys.shape)[:, None, None, :]
        return self.mask & (self.positions[self.queries][:, None, :, None] - columns < window)

    def to(self, device: torch.device) -> Layout:
        """The same on a device."""
        if device.type == "cpu":
            return self
        tensors = ("ids", "positions", "queries", "keys", "mask", "places", "kept", "labels")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in tensors}
        return replace(self, **moved)


@dataclass(slots=True)
class _Row:
    """The row as it grows: tokens, and what each sequence asks and sees."""

    ids: list[int]
    positions: list[int]
    queries: list[range]
    shared: list[range]
    kept: list[int]
    labels: list[int]
    completions: list[int]
    sequences: list[int]

    def add(self, tokens: Sequence[int], first_position: int, shared: range) -> int:
        """Adds a sequence that sees `shared` and, causally, itself; returns its first token's index."""
        start = len(self.ids)
        self.ids.extend(tokens)
        self.positions.extend(range(first_position, first_position + len(tokens)))
        self.queries.append(range(start, start + len(tokens)))
        self.shared.append(shared)
        return start


def shared_prompt(batch: Sequence[Encoded]) -> int:
    """How many tokens all prompts of a batch begin with; each keeps at least one of its own, which predicts its completion."""
    if len(batch) < 2:
        return 0
    first, last = min(item.prompt for item in batch), max(item.prompt for item in batch)  # the two that differ soonest
    common = next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return min(common, min(len(item.prompt) for item in batch) - 1)


def lay_out(batches: Sequence[Sequence[Encoded]]) -> Layout:
    """The row of one batch a slot.

    The last token of a completion predicts nothing, so it is a label and no input.

    Raises:
        ValueError: there is no example.
    """
    if not any(batches):
        raise ValueError("a pass needs an example")
    row = _Row([], [], [], [], [], [], [], [])
    slot_tokens = []
    for batch in batches:
        begun = len(row.ids)
        prefix = shared_prompt(batch)
        start = row.add(batch[0].prompt[:prefix], 0, range(0)) if prefix else begun
        for item in batch:
            own = (*item.prompt[prefix:], *item.completion[:-1])
            row.sequences.append(len(row.queries))
            first = row.add(own, prefix, range(start, start + prefix))
            asked = first + len(item.prompt) - prefix - 1
            row.kept.extend(range(asked, asked + len(item.completion)))
            row.labels.extend(item.completion)
            row.completions.append(len(item.completion))
        slot_tokens.append(len(row.ids) - begun)
    return _layout(row, tuple(slot_tokens), tuple(len(batch) for batch in batches))


def _layout(row: _Row, slot_tokens: tuple[int, ...], slot_examples: tuple[int, ...]) -> Layout:
    asking = torch.tensor([len(queries) for queries in row.queries])
    before = torch.tensor([len(shared) for shared in row.shared])
    first = torch.tensor([queries.start for queries in row.queries])
    prefix = torch.tensor([shared.start for shared in row.shared])
    query = torch.arange(int(asking.max()))
    key = torch.arange(int((before + asking).max()))
    # a filled-up place points at its own sequence: another slot's token there could spread its NaN
    queries = first[:, None] + query.clamp(max=asking[:, None] - 1)
    own = key - before[:, None]
    keys = torch.where(own < 0, prefix[:, None] + key, first[:, None] + own.clamp(max=asking[:, None] - 1))
    sees = (own[:, None, :] <= query[None, :, None]) & (own < asking[:, None])[:, None, :]
    width = len(query)
    sequence = torch.repeat_interleave(torch.arange(len(asking)), asking)
    tokens = torch.arange(len(row.ids))
    return Layout(
        ids=torch.tensor(row.ids),
        positions=torch.tensor(row.positions),
        slot_tokens=slot_tokens,
        slot_examples=slot_examples,
        queries=queries,
        keys=keys,
        mask=sees[:, None],
        places=sequence * width + tokens - first[sequence],
        kept=torch.tensor(row.kept),
        labels=torch.tensor(row.labels),
        completions=tuple(row.completions),
        sequences=tuple(row.sequences),
    )
