"""The batches of several slots as one row of tokens, without padding or repeated prefixes.

A slot's tokens are contiguous: the prefix that all its prompts share, once, then the rest of each example. Each example
attends to the shared prefix and to itself, so its hidden states equal those of a pass of its own, and the gradients of the
prefix sum over the examples.

Attention works on tables of sequences, padded to the longest one. Sequences of similar length share a table, so little is
padded: pairs of queries and keys grow with the square of the length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from sweep.training.encoding import Encoded

SHORT = 128
"""Up to this number of queries and keys, padding costs less than another table."""

LENGTH_RATIO = 1.5
"""Above that, the largest number of queries, and of keys, in a table is at most this multiple of the smallest."""

WIDTH_STEP = 16
"""Widths of attention tables on a GPU are multiples of this, or of a sixteenth of the next power of two: its kernels read biases in
aligned rows, and shapes repeat."""

_CPU = torch.device("cpu")


def rounded_width(length: int) -> int:
    """The width of an attention table on a GPU whose longest sequence has `length` tokens."""
    step = max(WIDTH_STEP, (1 << length.bit_length()) // 16)
    return -(-length // step) * step


def rounded(length: int, device: torch.device) -> int:
    """The width of a table whose longest sequence has `length` tokens.

    On a GPU widths repeat, so that its allocator and its libraries find what they prepared for an earlier pass: there are eight
    widths per doubling of the length, and at most 16 tokens or an eighth are padding. A CPU computes what there is.
    """
    return length if device.type == "cpu" else rounded_width(length)


def length_class(queries: int, keys: int) -> tuple[int, int]:
    """Sequences of one class share a table. The class depends on the sequence alone, not on others in the row."""
    return _steps(keys), _steps(queries)


def _steps(length: int) -> int:
    """Steps of `LENGTH_RATIO` from `SHORT` to at least this length."""
    return math.ceil(math.log(length / SHORT) / math.log(LENGTH_RATIO)) if length > SHORT else 0


@dataclass(frozen=True, slots=True)
class Table:
    """Sequences of similar length, for attention. A sequence is an example without its shared prefix, or a shared prefix.

    Attributes:
        queries: token indices of each sequence, shape (sequences, longest query), padded with a token of the sequence.
        keys: token indices that each sequence attends to, in order, shape (sequences, longest key), padded likewise. With a
            key-value cache, they index the cache.
        mask: whether a query attends to a key, bool, shape (sequences, 1, longest query, longest key).
        columns: position of each key, shaped as `keys`; None if the keys of each sequence have positions 0, 1, 2, ...
    """

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    columns: torch.Tensor | None = None

    def within(self, window: int, positions: torch.Tensor) -> torch.Tensor:
        """The mask for sliding-window attention: tokens attend to the last `window` positions, including their own.

        Args:
            positions: position of each token of the row in its example, shape (tokens,).
        """
        columns = torch.arange(self.keys.shape[1], device=self.keys.device) if self.columns is None else self.columns
        columns = columns.expand(self.keys.shape)[:, None, None, :]
        return self.mask & (positions[self.queries][:, None, :, None] - columns < window)


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

    def keys_of(self, example: int, count: int) -> torch.Tensor:
        """Indices of the first tokens that an example attends to, shape (count,)."""
        table, row = self.sequences[example]
        return self.tables[table].keys[row, :count]

    def after(self, cached: int) -> Layout:
        """The layout of this row after `cached` tokens in the key-value cache."""
        return replace(self, tables=tuple(replace(table, keys=table.keys + cached) for table in self.tables))


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


def lay_out(batches: Sequence[Sequence[Encoded]], device: torch.device = _CPU) -> Layout:
    """Lays out one batch per slot as a row on a device.

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
    return _layout(row, tuple(slot_tokens), tuple(len(batch) for batch in batches), device)


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


def _layout(row: _Row, slot_tokens: tuple[int, ...], slot_examples: tuple[int, ...], device: torch.device) -> Layout:
    by_class: dict[tuple[int, int], list[int]] = {}
    for sequence, (queries, shared) in enumerate(zip(row.queries, row.shared, strict=True)):
        by_class.setdefault(length_class(len(queries), len(shared) + len(queries)), []).append(sequence)
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
            *(part for group in groups for part in _bounds(row, group)),
        ],
        device,
    )
    ids, positions, placed, kept, labels, *bounds = sent
    return Layout(
        ids=ids,
        positions=positions,
        slot_tokens=slot_tokens,
        slot_examples=slot_examples,
        tables=tuple(_table(*own, *bounds[4 * number : 4 * number + 4]) for number, own in enumerate(widths)),
        places=placed,
        kept=kept,
        labels=labels,
        completions=tuple(row.completions),
        sequences=tuple(rows[sequence] for sequence in row.sequences),
    )


def _widths(row: _Row, group: Sequence[int], device: torch.device) -> tuple[int, int]:
    """The numbers of queries and keys of each sequence of a table."""
    queries = max(len(row.queries[sequence]) for sequence in group)
    keys = max(len(row.shared[sequence]) + len(row.queries[sequence]) for sequence in group)
    return rounded(queries, device), rounded(keys, device)


def _bounds(row: _Row, group: Sequence[int]) -> list[list[int]]:
    """First token and length of each sequence of a table, then of each shared prefix."""
    ranges = ([row.queries[sequence] for sequence in group], [row.shared[sequence] for sequence in group])
    return [part for own in ranges for part in ([each.start for each in own], [len(each) for each in own])]


def _table(
    queries_width: int,
    keys_width: int,
    first: torch.Tensor,
    lengths: torch.Tensor,
    prefix_first: torch.Tensor,
    prefix_lengths: torch.Tensor,
) -> Table:
    """The table of some sequences, made on the device of their bounds, each of shape (sequences,)."""
    query = torch.arange(queries_width, device=first.device)
    key = torch.arange(keys_width, device=first.device)
    last = lengths[:, None] - 1
    # padding points at the sequence itself: with a token of another slot, a NaN could spread
    queries = first[:, None] + query.minimum(last)  # (sequences, queries)
    own = key - prefix_lengths[:, None]  # (sequences, keys), negative in the prefix
    keys = torch.where(own < 0, prefix_first[:, None] + key, first[:, None] + own.minimum(last))
    # (sequences, queries, keys)
    sees = (own[:, None, :] <= query[None, :, None]) & (own < lengths[:, None])[:, None, :]
    return Table(queries, keys, sees[:, None])
