"""Tables of sequences for attention, padded to the longest one.

Sequences of similar length share a table, so little is padded: pairs of queries and keys grow with the square of the length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

SHORT = 128
"""Up to this number of queries and keys, padding costs less than another table."""

LENGTH_RATIO = 1.5
"""Above that, the largest number of queries, and of keys, in a table is at most this multiple of the smallest."""

WIDTH_STEP = 16
"""Widths of attention tables on a GPU are multiples of this, or of a sixteenth of the next power of two: its kernels read biases in
aligned rows, and shapes repeat."""


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
        keys: token indices that each sequence attends to, in order, shape (sequences, longest key), padded likewise. They count given
            keys first. With a key-value cache, they index the cache.
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


def table_of(
    queries_width: int,
    keys_width: int,
    first: torch.Tensor,
    lengths: torch.Tensor,
    prefix_first: torch.Tensor,
    prefix_lengths: torch.Tensor,
    given_first: torch.Tensor | None = None,
    given_lengths: torch.Tensor | None = None,
    *,
    total: int,
) -> Table:
    """The table of some sequences, made on the device of their bounds, each of shape (sequences,).

    Args:
        total: number of given keys in the whole row, after which its own are counted.
    """
    query = torch.arange(queries_width, device=first.device)
    key = torch.arange(keys_width, device=first.device)
    last = lengths[:, None] - 1
    # padding points at the sequence itself: with a token of another slot, a NaN could spread
    queries = first[:, None] + query.minimum(last)  # (sequences, queries)
    after = key if given_lengths is None else key - given_lengths[:, None]  # negative in given keys
    own = after - prefix_lengths[:, None]  # (sequences, keys), negative in the prefix
    keys = torch.where(own < 0, prefix_first[:, None] + after, first[:, None] + own.minimum(last))
    if given_first is not None:
        keys = torch.where(after < 0, given_first[:, None] + key, keys + total)
    # (sequences, queries, keys)
    sees = (own[:, None, :] <= query[None, :, None]) & (own < lengths[:, None])[:, None, :]
    return Table(queries, keys, sees[:, None])
