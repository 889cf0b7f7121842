"""Answers decoded greedily from a row of tokens: prompts go through once, their common beginning once for all of them, and a
sequence that has ended takes no further part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import as_text, stop_tokens
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.layout import Layout, lay_out
from sweep.training.packed.pack import Pack
from sweep.training.packed.slots import Share
from sweep.training.quantization import evaluating

AT_ONCE = 64
"""So many answers are decoded at the same time."""


def packed_answers(
    base: LoadedBase,
    pack: Pack,
    adapter: SlotAdapter | None,
    encoded: Sequence[Encoded],
    max_new_tokens: int,
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """The model's own answers, in the order of `encoded`; as `sweep.training.forward.greedy_answers` gives them.

    Args:
        adapter: None for the bare base.
        on_progress: told how many examples are done.
    """
    answers: dict[int, str] = {}
    stops = set(stop_tokens(base, base.model, encoded))
    together = sorted(range(len(encoded)), key=lambda index: (len(encoded[index].prompt), index))
    with evaluating(base.model):
        for start in range(0, len(together), AT_ONCE):
            indices = together[start : start + AT_ONCE]
            decoded = _decoded(base, pack, adapter, [encoded[index] for index in indices], max_new_tokens, stops)
            answers |= {index: as_text(base, ids) for index, ids in zip(indices, decoded, strict=True)}
            if on_progress:
                on_progress(len(answers))
    return [answers[index] for index in range(len(encoded))]


def _decoded(
    base: LoadedBase,
    pack: Pack,
    adapter: SlotAdapter | None,
    batch: Sequence[Encoded],
    max_new_tokens: int,
    stops: set[int],
) -> list[list[int]]:
    # a completion of one token adds no input: the prompts alone go through
    layout = lay_out([[replace(item, completion=(0,)) for item in batch]]).to(base.device)
    cache = Cache(layer_class_to_replicate=_Rows)
    with pack.passing(layout, [Share(adapter, len(layout.ids))], cache) as logits:
        following = logits.argmax(dim=-1)
    seen = _Seen(layout, len(batch), max_new_tokens)
    answers: list[list[int]] = [[] for _ in batch]
    going = torch.arange(len(batch), device=base.device)
    for _ in range(max_new_tokens):
        words = following.tolist()
        for sequence, word in zip(going.tolist(), words, strict=True):
            if word not in stops:
                answers[sequence].append(word)
        kept = [place for place, word in enumerate(words) if word not in stops]
        going, following = going[kept], following[kept]
        if not kept or len(answers[int(going[0])]) == max_new_tokens:
            break
        step = seen.next_step(going, following, cache.get_seq_length())
        with pack.passing(step, [Share(adapter, len(kept))], cache) as logits:
            following = logits.argmax(dim=-1)
    return answers


class _Seen:
    """The places in the cache that each sequence has seen so far, in order.

    Args:
        layout: of the prompts; its last `sequences` sequences are the examples.
        room: how many places may be added to each.
    """

    def __init__(self, layout: Layout, sequences: int, room: int) -> None:
        keys, visible = layout.keys[-sequences:], layout.mask[-sequences:, 0, -1]
        own = keys[:, :1]  # what is not seen yet stands for a place of the sequence's own
        self._places = torch.cat([torch.where(visible, keys, own), own.expand(-1, room)], dim=1)
        self._counts = visible.sum(dim=1)

    def next_step(self, going: torch.Tensor, tokens: torch.Tensor, cached: int) -> Layout:
        """The row of one more token for each sequence that is still going.

        Args:
            going: numbers of the sequences.
            tokens: their tokens.
            cached: how many places the cache has.
        """
        row = torch.arange(len(going), device=going.device)
        positions = self._counts[going]
        self._places[going, positions] = cached + row
        self._counts[going] += 1
        longest = int(self._counts[going].max())
        visible = torch.arange(longest, device=going.device) < self._counts[going][:, None]
        return Layout(
            ids=tokens,
            positions=positions,
            slot_tokens=(len(going),),
            slot_examples=(len(going),),
            queries=row[:, None],
            keys=self._places[going, :longest],
            mask=visible[:, None, None, :],
            places=row,
            kept=row,
            labels=tokens,
            completions=(1,) * len(going),
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
        self.keys, self.values = (memory[: self._used].transpose(0, 1)[None] for memory in self._memory)
        return self.keys, self.values


def _room(states: torch.Tensor, rows: int) -> torch.Tensor:
    """Memory for so many rows, shape (rows, heads, size)."""
    return states.new_empty((rows, states.shape[1], states.shape[3]))
