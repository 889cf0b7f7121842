"""Attention for a packed row: each example attends to its own tokens and to the prefix it shares.

It is registered with transformers as an attention implementation, so any model that uses transformers' attention interface
can be packed unchanged. Outside a packed pass it is plain `sdpa`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sweep.training.packed.layout import Layout

NAME = "goldilocks_packed"
"""Name of the implementation in transformers' registry."""

SHORT = 512
"""Up to this number of keys per sequence, a CPU computes attention by plain products, with all scores in memory."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments that some models pass to their attention and that are not implemented here."""

_layouts: list[Layout] = []
"""Stack of layouts; the last is that of the current pass. Not a context variable: CUDA's backward runs in other threads."""


@contextmanager
def packed_attention(layout: Layout) -> Iterator[None]:
    """Context in which the model's input, in forward and backward passes, is a row of this layout."""
    _layouts.append(layout)
    try:
        yield
    finally:
        _layouts.pop()


def use_packed_attention(model: nn.Module) -> None:
    """Makes the model use packed attention.

    Raises:
        ValueError: the model does not use transformers' attention interface.
    """
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    if model.config._attn_implementation != NAME:  # type: ignore[union-attr]
        raise ValueError(f"{type(model).__name__} does not use transformers' attention interface")


def _mask(*arguments: Any, **named: Any) -> torch.Tensor | None:
    return None if _layouts else sdpa_mask(*arguments, **named)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """As `sdpa_attention_forward`; in a packed pass, query, key and value have shape (1, heads, tokens, head_dim)."""
    if not _layouts:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **named
        )
    layout = _layouts[-1]
    unsupported = [name for name in _UNSUPPORTED if named.get(name) is not None]
    if unsupported:
        raise ValueError(f"its attention uses {', '.join(unsupported)}, which packing does not support")
    window = named.get("sliding_window")
    heads, head_dim = query.shape[1], value.shape[-1]
    states = [_by_token(each) for each in (query, key, value)]
    parts = []
    for table in layout.tables:
        mask = table.mask if window is None else table.within(int(window), layout.positions)
        queries = _by_sequence(states[0], table.queries)  # (sequences, heads, longest query, head_dim)
        keys = _by_sequence(states[1], table.keys)  # (sequences, key heads, longest key, head_dim)
        values = _by_sequence(states[2], table.keys)  # (sequences, key heads, longest key, head_dim)
        attended = _attend(queries, keys, values, mask, dropout, scaling)
        parts.append(attended.transpose(1, 2).reshape(-1, heads * head_dim))
    flat = parts[0] if len(parts) == 1 else torch.cat(parts)  # (queries of all tables, heads * head_dim)
    return flat.index_select(0, layout.places).view(1, -1, heads, head_dim), None


def _attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of the sequences of one table, shape (sequences, heads, longest query, head_dim)."""
    if queries.device.type == "cpu" and not dropout and keys.shape[2] <= SHORT:
        return _attend_short(queries, keys, values, mask, scaling or queries.shape[-1] ** -0.5)
    heads = queries.shape[1]
    return functional.scaled_dot_product_attention(
        queries,
        repeat_kv(keys, heads // keys.shape[1]),
        repeat_kv(values, heads // values.shape[1]),
        attn_mask=mask,
        dropout_p=dropout,
        scale=scaling,
    )


def _attend_short(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention by two batched products; for such lengths on a CPU twice as fast as torch's, forward and backward.

    Query heads that share a key head are rows of one product, so keys and values are not repeated.
    """
    sequences, heads, longest_query, head_dim = queries.shape
    key_heads, longest_key = keys.shape[1], keys.shape[2]
    rows = (sequences * key_heads, heads // key_heads * longest_query)
    bias = torch.zeros(mask.shape, dtype=queries.dtype).masked_fill_(~mask, -torch.inf)
    scores = torch.baddbmm(
        bias.expand(-1, heads, -1, -1).reshape(*rows, longest_key),
        (queries * scaling).reshape(*rows, head_dim),
        keys.reshape(rows[0], longest_key, head_dim).transpose(1, 2),
    )  # (sequences * key heads, heads per key head * longest query, longest key)
    attended = torch.bmm(scores.softmax(dim=-1), values.reshape(rows[0], longest_key, -1))
    return attended.view(sequences, heads, longest_query, -1)


def _by_token(states: torch.Tensor) -> torch.Tensor:
    """(1, heads, tokens, head_dim) as (tokens, heads, head_dim)."""
    return states[0].transpose(0, 1)


def _by_sequence(states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Gathers (tokens, heads, head_dim) into (sequences, heads, longest, head_dim)."""
    _, heads, head_dim = states.shape
    gathered = states.reshape(-1, heads * head_dim).index_select(0, tokens.reshape(-1))
    return gathered.view(*tokens.shape, heads, head_dim).transpose(1, 2)
