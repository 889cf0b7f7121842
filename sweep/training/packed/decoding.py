"""Answers decoded greedily from a row of tokens: a step's row holds one token of every sequence, and a sequence that has
ended takes no further part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from sweep.training.packed.adapter import SlotAdapter, SlotRows
from sweep.training.packed.layout import Layout
from sweep.training.packed.pack import Pack


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer of which the beginning is known.

    Attributes:
        slot: whose adapter answers.
        places: where the cache has what was read so far, in order: the prompt, and the tokens of the answer.
        answer: the answer's tokens that were read.
        following: the token after them.
    """

    slot: int
    places: torch.Tensor
    answer: tuple[int, ...]
    following: int


def row_cache() -> Cache:
    """A cache for rows of tokens."""
    return Cache(layer_class_to_replicate=_Rows)


def decoded(
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    cache: Cache,
    begun: Sequence[Begun],
    max_new_tokens: int,
    stops: set[int],
) -> list[list[int]]:
    """The tokens of each answer, without the one that ends it.

    Args:
        adapters: by slot.
        begun: ordered by slot.
        stops: the tokens that end an answer.
    """
    answers = [list(each.answer) for each in begun]
    if not begun:
        return answers
    seen = _Seen([each.places for each in begun], max_new_tokens)
    slots = [each.slot for each in begun]
    words = [each.following for each in begun]
    going = list(range(len(begun)))
    while True:
        for sequence, word in zip(going, words, strict=True):
            if word not in stops:
                answers[sequence].append(word)
        goes_on = [
            (sequence, word)
            for sequence, word in zip(going, words, strict=True)
            if word not in stops and len(answers[sequence]) < max_new_tokens
        ]
        if not goes_on:
            return answers
        going = [sequence for sequence, _ in goes_on]
        counts = [(slot, len(list(own))) for slot, own in groupby(slots[sequence] for sequence in going)]
        step = seen.next_step(going, [word for _, word in goes_on], counts, cache.get_seq_length())
        shares = [SlotRows(adapters[slot], count) for slot, count in counts]
        with pack.passing(step, shares, cache) as logits:
            words = logits.argmax(dim=-1).tolist()


class _Seen:
    """The places in the cache that each sequence has read so far, in order.

    Args:
        room: how many places may be added to each.
    """

    def __init__(self, places: Sequence[torch.Tensor], capacity: int) -> None:
        self._counts = torch.tensor([len(own) for own in places], device=places[0].device)
        # what is not read yet stands for a place of the sequence's own
        longest = max(len(own) for own in places) + capacity
        self._places = torch.stack([torch.cat([own, own[:1].expand(longest - len(own))]) for own in places])

    def next_step(
        self, going: Sequence[int], tokens: Sequence[int], counts: Sequence[tuple[int, int]], cached: int
    ) -> Layout:
        """The row of one more token for each sequence that is still going.

        Args:
            going: numbers of the sequences.
            tokens: their tokens.
            counts: (slot, sequences) in the order of the row.
            cached: how many places the cache has.
        """
        device = self._places.device
        own, row = torch.tensor(going, device=device), torch.arange(len(going), device=device)
        ids, positions = torch.tensor(tokens, device=device), self._counts[own]
        self._places[own, positions] = cached + row
        self._counts[own] += 1
        longest = int(self._counts[own].max())
        visible = torch.arange(longest, device=device) < self._counts[own][:, None]
        return Layout(
            ids=ids,
            positions=positions,
            slot_tokens=tuple(count for _, count in counts),
            slot_examples=tuple(count for _, count in counts),
            queries=row[:, None],
            keys=self._places[own, :longest],
            mask=visible[:, None, None, :],
            places=row,
            kept=row,
            labels=ids,
            completions=(1,) * len(going),
            sequences=tuple(range(len(going))),
        )


class _Rows(DynamicLayer):
    """Keys and values of one layer, a row for each token, in memory that grows by doubling."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes room for the first rows."""
        super().lazy_initialization(key_states, value_states)
        self._used = 0
        self._memory = [_room(states, states.shape[2]) for states in (key_states, value_states)]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds states of shape (1, heads, tokens, size); returns all there are, in the same form."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, self._used = self._used, self._used + key_states.shape[2]
        for number, states in enumerate((key_states, value_states)):
            if self._used > self._memory[number].shape[0]:
                larger = _room(states, 2 * self._used)
                larger[:first] = self._memory[number][:first]
                self._memory[number] = larger
            self._memory[number][first : self._used] = states[0].transpose(0, 1)
        return self._show()

    def crop(self, max_length: int) -> None:
        """Forgets all rows but the first so many."""
        self._used = min(self._used, max_length)
        self._show()

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (memory[: self._used].transpose(0, 1)[None] for memory in self._memory)
        return self.keys, self.values


def _room(states: torch.Tensor, rows: int) -> torch.Tensor:
    """Memory for so many rows, shape (rows, heads, size)."""
    return states.new_empty((rows, states.shape[1], states.shape[3]))
