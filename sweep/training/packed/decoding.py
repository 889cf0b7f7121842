"""Greedy decoding in packed rows: each step's row holds one token of each sequence that has not ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.hooks import SlotRows
from sweep.training.packed.layout import Layout, to_device
from sweep.training.packed.pack import Pack
from sweep.training.packed.tables import Table, rounded


@dataclass(frozen=True, slots=True)
class PartialAnswer:
    """An answer whose beginning is known.

    Attributes:
        slot: index of the adapter.
        places: cache indices of virtual tokens, of the prompt and of `tokens`, in order.
        tokens: the answer's tokens in the cache.
        following: the token after them.
    """

    slot: int
    places: torch.Tensor
    tokens: tuple[int, ...]
    following: int


def row_cache() -> Cache:
    """A key-value cache for packed rows."""
    return Cache(layer_class_to_replicate=_RowLayer)


def decode(
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    cache: Cache,
    partial: Sequence[PartialAnswer],
    max_new_tokens: int,
    stops: set[int],
) -> list[list[int]]:
    """Completes the answers; returns their tokens without the one that ends them.

    Args:
        adapters: by slot.
        partial: ordered by slot.
        stops: tokens that end an answer.
    """
    answers = [list(each.tokens) for each in partial]
    if not partial:
        return answers
    places = _SequencePlaces([each.places for each in partial], max_new_tokens)
    slots = [each.slot for each in partial]
    tokens = [each.following for each in partial]
    active = list(range(len(partial)))
    while True:
        for sequence, token in zip(active, tokens, strict=True):
            if token not in stops:
                answers[sequence].append(token)
        unfinished = [
            (sequence, token)
            for sequence, token in zip(active, tokens, strict=True)
            if token not in stops and len(answers[sequence]) < max_new_tokens
        ]
        if not unfinished:
            return answers
        active = [sequence for sequence, _ in unfinished]
        counts = [(slot, len(list(own))) for slot, own in groupby(slots[sequence] for sequence in active)]
        layout = places.append(active, [token for _, token in unfinished], counts, cache.get_seq_length())
        rows = [SlotRows(adapters[slot], count) for slot, count in counts]
        with pack.forward(layout, rows, cache) as logits:
            tokens = logits.argmax(dim=-1).tolist()


class _SequencePlaces:
    """Cache indices of the tokens of each sequence. Their numbers are kept on the host, which so never waits for them.

    Args:
        capacity: number of tokens that can be appended to each.
    """

    def __init__(self, places: Sequence[torch.Tensor], capacity: int) -> None:
        self._counts = [len(own) for own in places]
        # padding points at the sequence itself
        longest = rounded(max(self._counts) + capacity, places[0].device)
        self._places = torch.stack([torch.cat([own, own[:1].expand(longest - len(own))]) for own in places])

    def append(
        self, active: Sequence[int], tokens: Sequence[int], counts: Sequence[tuple[int, int]], cached: int
    ) -> Layout:
        """Appends a token to each active sequence; returns the row of these tokens.

        Args:
            active: indices of the sequences.
            tokens: token id of each.
            counts: (slot, number of sequences) in the order of the row.
            cached: number of tokens in the cache.
        """
        device = self._places.device
        before = [self._counts[sequence] for sequence in active]
        for sequence in active:
            self._counts[sequence] += 1
        own, ids, positions = to_device([active, tokens, before], device)
        row = torch.arange(len(active), device=device)
        self._places[own, positions] = cached + row
        longest = min(rounded(max(before) + 1, device), self._places.shape[1])
        visible = torch.arange(longest, device=device) <= positions[:, None]  # (sequences, longest)
        return Layout(
            ids=ids,
            positions=positions,
            slot_tokens=tuple(count for _, count in counts),
            slot_examples=tuple(count for _, count in counts),
            tables=(Table(row[:, None], self._places[own, :longest], visible[:, None, None, :]),),
            places=row,
            kept=row,
            labels=ids,
            completions=(1,) * len(active),
            sequences=tuple((0, sequence) for sequence in range(len(active))),
        )


class _RowLayer(DynamicLayer):
    """Keys and values of one layer, by token, in memory that doubles when it is full."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocates memory for the first row."""
        super().lazy_initialization(key_states, value_states)
        self._used = 0
        self._memory = [_allocate(states, states.shape[2]) for states in (key_states, value_states)]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends states of shape (1, heads, tokens, head_dim); returns all states in the same form."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, self._used = self._used, self._used + key_states.shape[2]
        for number, states in enumerate((key_states, value_states)):
            if self._used > self._memory[number].shape[0]:
                larger = _allocate(states, 2 * self._used)
                larger[:first] = self._memory[number][:first]
                self._memory[number] = larger
            self._memory[number][first : self._used] = states[0].transpose(0, 1)
        return self._view()

    def crop(self, max_length: int) -> None:
        """Drops all but the first `max_length` tokens."""
        self._used = min(self._used, max_length)
        self._view()

    def _view(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (memory[: self._used].transpose(0, 1)[None] for memory in self._memory)
        return self.keys, self.values


def _allocate(states: torch.Tensor, tokens: int) -> torch.Tensor:
    """Uninitialized memory, shape (tokens, heads, head_dim)."""
    return states.new_empty((tokens, states.shape[1], states.shape[3]))
