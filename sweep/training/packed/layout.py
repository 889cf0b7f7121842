"""The batches of several slots as one row of tokens, without padding or repeated prefixes.

A slot's tokens are contiguous: the prefix that all its prompts share, once, then the rest of each example. Each example
attends to the shared prefix and to itself, so its hidden states equal those of a pass of its own, and the gradients of the
prefix sum over the examples. A slot's virtual tokens are the beginning of that prefix, or keys and values before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from sweep.training.encoding import Encoded
from sweep.training.packed.tables import Table, length_class, rounded, table_of

_PLACEHOLDER = 0
"""The id of tokens whose embeddings are replaced."""

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Virtual:
    """The trained tokens before each of a slot's sequences.

    Attributes:
        embedded: number of those that are embeddings: tokens of the row, once per slot.
        given: number of those that are keys and values in each layer. They come before the row's own tokens, slot after slot, or, with a
            key-value cache, are the first in it.
    """

    embedded: int = 0
    given: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.embedded + self.given


NONE_VIRTUAL = Virtual()


@dataclass(frozen=True, slots=True)
class Layout:
    """The row of one pass over the base. Tokens are indexed by their place in the row.

    Attributes:
        ids: token ids, shape (tokens,).
        positions: position of each token in its example, shape (tokens,).
        slot_tokens: number of tokens of each slot, in order; they sum to `tokens`.
        slot_examples: number of examples of each slot, in order.
        tables: all sequences of the row, grouped by length.
        places: index of each token in the flattened queries of all tables, shape (tokens,).
        kept: indices of the tokens whose logits predict a completion token, by example, shape (predictions,).
        labels: ids of the predicted tokens, shape (predictions,).
        completions: number of predictions of each example, in order.
        sequences: table of each example, and its row there.
        embedded: slot, first token and number of the tokens that have embeddings of their own.
        given: number of given keys.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    slot_tokens: tuple[int, ...]
    slot_examples: tuple[int, ...]
    tables: tuple[Table, ...]
    places: torch.Tensor
    kept: torch.Tensor
    labels: torch.Tensor
    completions: tuple[int, ...]
    sequences: tuple[tuple[int, int], ...]
    embedded: tuple[tuple[int, int, int], ...] = ()
    given: int = 0

    def keys_of(self, example: int, count: int) -> torch.Tensor:
        """Indices of the first tokens that an example attends to, shape (count,)."""
        table, row = self.sequences[example]
        return self.tables[table].keys[row, :count]

    def after(self, cached: int) -> Layout:
        """The layout of this row after `cached` tokens in the key-value cache, with given keys among them."""
        return replace(
            self, tables=tuple(replace(table, keys=self._moved(table.keys, cached)) for table in self.tables)
        )

    def _moved(self, keys: torch.Tensor, cached: int) -> torch.Tensor:
        if not self.given:
            return keys + cached
        return torch.where(keys < self.given, keys, keys + (cached - self.given))


@dataclass(slots=True)
class _Row:
    """A row under construction.

    `queries` and `shared` are token ranges of each sequence and of its prefix, `given` the range of its given keys.
    """

    ids: list[int]
    positions: list[int]
    queries: list[range]
    shared: list[range]
    given: list[range]
    kept: list[int]
    labels: list[int]
    completions: list[int]
    sequences: list[int]

    def add(self, tokens: Sequence[int], first_position: int, shared: range, given: range) -> int:
        """Adds a sequence that attends to `given`, to `shared` and, causally, to itself; returns the index of its first token."""
        start = len(self.ids)
        self.ids.extend(tokens)
        self.positions.extend(range(first_position, first_position + len(tokens)))
        self.queries.append(range(start, start + len(tokens)))
        self.shared.append(shared)
        self.given.append(given)
        return start

    def key_count(self, sequence: int) -> int:
        """Number of keys of a sequence."""
        return len(self.given[sequence]) + len(self.shared[sequence]) + len(self.queries[sequence])


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


def lay_out(
    batches: Sequence[Sequence[Encoded]], device: torch.device = _CPU, virtual: Sequence[Virtual] | None = None
) -> Layout:
    """Lays out one batch per slot as a row on a device.

    The last token of a completion predicts nothing, so it is a label but not an input.

    Args:
        virtual: the virtual tokens of each slot; None if no slot has any.

    Raises:
        ValueError: all batches are empty.
    """
    if not any(batches):
        raise ValueError("a pass needs an example")
    row = _Row([], [], [], [], [], [], [], [], [])
    slot_tokens, embedded, given = [], [], 0
    for slot, batch in enumerate(batches):
        before = NONE_VIRTUAL if virtual is None else virtual[slot]
        slot_start = len(row.ids)
        common = shared_prompt(batch)
        prefix = before.embedded + common
        keys = range(given, given + before.given)
        given = keys.stop
        start = slot_start
        if prefix:
            row.add((*(_PLACEHOLDER,) * before.embedded, *batch[0].prompt[:common]), before.given, range(0), keys)
        if before.embedded:
            embedded.append((slot, start, before.embedded))
        for item in batch:
            own = (*item.prompt[common:], *item.completion[:-1])
            row.sequences.append(len(row.queries))
            first = row.add(own, before.given + prefix, range(start, start + prefix), keys)
            predicting = first + len(item.prompt) - common - 1
            row.kept.extend(range(predicting, predicting + len(item.completion)))
            row.labels.extend(item.completion)
            row.completions.append(len(item.completion))
        slot_tokens.append(len(row.ids) - slot_start)
    layout = _layout(row, tuple(slot_tokens), tuple(len(batch) for batch in batches), device, given)
    return replace(layout, embedded=tuple(embedded)) if embedded else layout


def to_device(parts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Sequences of whole numbers as tensors on a device, in one copy, which a CUDA device makes while the host goes on."""
    numbers = torch.tensor([number for part in parts for number in part], dtype=torch.long)
    return _sent(numbers, device).split([len(part) for part in parts])


def floats_to_device(numbers: Sequence[float], device: torch.device) -> torch.Tensor:
    """Numbers in fp32 on a device; as `to_device`, the host does not wait for the copy."""
    return _sent(torch.tensor(numbers, dtype=torch.float32), device)


def _sent(numbers: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


def _layout(
    row: _Row, slot_tokens: tuple[int, ...], slot_examples: tuple[int, ...], device: torch.device, given: int
) -> Layout:
    by_class: dict[tuple[int, int], list[int]] = {}
    for sequence, queries in enumerate(row.queries):
        by_class.setdefault(length_class(len(queries), row.key_count(sequence)), []).append(sequence)
    groups = [by_class[each] for each in sorted(by_class)]
    rows = {sequence: (number, place) for number, group in enumerate(groups) for place, sequence in enumerate(group)}
    widths = [_widths(row, group, device) for group in groups]
    starts = list(accumulate((len(group) * width for group, (width, _) in zip(groups, widths, strict=True)), initial=0))
    places: list[int] = []
    for sequence, own in enumerate(row.queries):  # they follow each other in the row
        number, place = rows[sequence]
        first = starts[number] + place * widths[number][0]
        places.extend(range(first, first + len(own)))
    sent = to_device(
        [
            row.ids,
            row.positions,
            places,
            row.kept,
            row.labels,
            *(part for group in groups for part in _bounds(row, group, given)),
        ],
        device,
    )
    ids, positions, placed, kept, labels, *bounds = sent
    parts = len(bounds) // len(groups)
    return Layout(
        ids=ids,
        positions=positions,
        slot_tokens=slot_tokens,
        slot_examples=slot_examples,
        tables=tuple(
            table_of(*own, *bounds[parts * number : parts * (number + 1)], total=given)
            for number, own in enumerate(widths)
        ),
        places=placed,
        kept=kept,
        labels=labels,
        completions=tuple(row.completions),
        sequences=tuple(rows[sequence] for sequence in row.sequences),
        given=given,
    )


def _widths(row: _Row, group: Sequence[int], device: torch.device) -> tuple[int, int]:
    """The numbers of queries and keys of each sequence of a table."""
    queries = max(len(row.queries[sequence]) for sequence in group)
    keys = max(row.key_count(sequence) for sequence in group)
    return rounded(queries, device), rounded(keys, device)


def _bounds(row: _Row, group: Sequence[int], given: int) -> list[list[int]]:
    """First token and length of each sequence of a table, then of each shared prefix and, if any keys are given, of those."""
    ranges = [[row.queries[sequence] for sequence in group], [row.shared[sequence] for sequence in group]]
    if given:
        ranges.append([row.given[sequence] for sequence in group])
    return [part for own in ranges for part in ([each.start for each in own], [len(each) for each in own])]
