"""The batches of several slots as one row of tokens, without padding or repeated prefixes.

A slot's tokens are contiguous: the prefix that all its prompts share, once, then the rest of each example. Each example
attends to the shared prefix and to itself, so its hidden states equal those of a pass of its own, and the gradients of the
prefix sum over the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sweep.training.encoding import Encoded


@dataclass(frozen=True, slots=True)
class Layout:
    """The row of one pass over the base. Tokens are indexed by their place in the row.

    A sequence is an example without its shared prefix, or a shared prefix.

    Attributes:
        ids: token ids, shape (tokens,).
        positions: position of each token in its example, shape (tokens,).
        slot_tokens: number of tokens of each slot, in order; they sum to `tokens`.
        slot_examples: number of examples of each slot, in order.
        queries: token indices of each sequence, shape (sequences, longest query), padded with a token of the sequence.
        keys: token indices that each sequence attends to, in order, shape (sequences, longest key), padded likewise. With a
            key-value cache, they index the cache.
        mask: whether a query attends to a key, bool, shape (sequences, 1, longest query, longest key).
        places: index of each token in the flattened `queries`, shape (tokens,).
        kept: indices of the tokens whose logits predict a completion token, by example, shape (predictions,).
        labels: ids of the predicted tokens, shape (predictions,).
        completions: number of predictions of each example, in order.
        sequences: row of each example in `queries` and `keys`.
        columns: position of each key, shaped as `keys`; None if the keys of each sequence have positions 0, 1, 2, ...
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
        """The mask for sliding-window attention: tokens attend to the last `window` positions, including their own."""
        columns = torch.arange(self.keys.shape[1], device=self.keys.device) if self.columns is None else self.columns
        columns = columns.expand(self.keys.shape)[:, None, None, :]
        return self.mask & (self.positions[self.queries][:, None, :, None] - columns < window)

    def to(self, device: torch.device) -> Layout:
        """Moves the tensors to a device."""
        if device.type == "cpu":
            return self
        tensors = ("ids", "positions", "queries", "keys", "mask", "places", "kept", "labels")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in tensors}
        return replace(self, **moved)


@dataclass(slots=True)
class _Row:
    """A row under construction; `queries` and `shared` are token ranges of each sequence and of its prefix."""

    ids: list[int]
    positions: list[int]
    queries: list[range]
    shared: list[range]
    kept: list[int]
    labels: list[int]
    completions: list[int]
    sequences: list[int]

    def add(self, tokens: Sequence[int], first_position: int, shared: range) -> int:
        """Adds a sequence that attends to `shared` and, causally, to itself; returns the index of its first token."""
        start = len(self.ids)
        self.ids.extend(tokens)
        self.positions.extend(range(first_position, first_position + len(tokens)))
        self.queries.append(range(start, start + len(tokens)))
        self.shared.append(shared)
        return start


def shared_prompt(batch: Sequence[Encoded]) -> int:
    """Length of the prefix that all prompts of a batch share, leaving each at least one token, which predicts its completion."""
    if len(batch) < 2:
        return 0
    # the smallest and the largest prompt have the shortest common prefix
    first, last = min(item.prompt for item in batch), max(item.prompt for item in batch)
    common = next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return min(common, min(len(item.prompt) for item in batch) - 1)


def lay_out(batches: Sequence[Sequence[Encoded]]) -> Layout:
    """Lays out one batch per slot as a row.

    The last token of a completion predicts nothing, so it is a label but not an input.

    Raises:
        ValueError: all batches are empty.
    """
    if not any(batches):
        raise ValueError("a pass needs an example")
    row = _Row([], [], [], [], [], [], [], [])
    slot_tokens = []
    for batch in batches:
        slot_start = len(row.ids)
        prefix = shared_prompt(batch)
        start = row.add(batch[0].prompt[:prefix], 0, range(0)) if prefix else slot_start
        for item in batch:
            own = (*item.prompt[prefix:], *item.completion[:-1])
            row.sequences.append(len(row.queries))
            first = row.add(own, prefix, range(start, start + prefix))
            predicting = first + len(item.prompt) - prefix - 1
            row.kept.extend(range(predicting, predicting + len(item.completion)))
            row.labels.extend(item.completion)
            row.completions.append(len(item.completion))
        slot_tokens.append(len(row.ids) - slot_start)
    return _layout(row, tuple(slot_tokens), tuple(len(batch) for batch in batches))


def _layout(row: _Row, slot_tokens: tuple[int, ...], slot_examples: tuple[int, ...]) -> Layout:
    lengths = torch.tensor([len(queries) for queries in row.queries])  # (sequences,)
    prefix_lengths = torch.tensor([len(shared) for shared in row.shared])  # (sequences,)
    first = torch.tensor([queries.start for queries in row.queries])
    prefix_first = torch.tensor([shared.start for shared in row.shared])
    query = torch.arange(int(lengths.max()))
    key = torch.arange(int((prefix_lengths + lengths).max()))
    # padding points at the sequence itself: with a token of another slot, a NaN could spread
    queries = first[:, None] + query.clamp(max=lengths[:, None] - 1)  # (sequences, longest query)
    own = key - prefix_lengths[:, None]  # (sequences, longest key), negative in the prefix
    keys = torch.where(own < 0, prefix_first[:, None] + key, first[:, None] + own.clamp(max=lengths[:, None] - 1))
    # (sequences, longest query, longest key)
    sees = (own[:, None, :] <= query[None, :, None]) & (own < lengths[:, None])[:, None, :]
    width = len(query)
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
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
