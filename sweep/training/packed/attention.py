"""Attention over a row of tokens that belongs to many examples: each sees its own and the instruction it shares.

Registered with transformers as an attention implementation, so any model that goes through its attention interface runs
packed without a line of its own code changed. Outside a packed pass it is `sdpa` and nothing else.
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
"""The implementation's name in transformers' registry."""

SHORT = 512
"""Keys of the longest sequence up to which a CPU attends by plain products; their scores are all in memory at once."""

_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What some models ask of their attention and is not done here."""

_laid_out: list[Layout] = []
"""The layout of the pass that is going on, last. No context variable: CUDA's backward pass runs in threads of its own."""


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Within, the model's attention takes its input for a row of this layout, backward passes included."""
    _laid_out.append(layout)
    try:
        yield
    finally:
        _laid_out.pop()


def use_packed_attention(model: nn.Module) -> None:
    """Makes the implementation the model's own.

    Raises:
        ValueError: the model does not go through transformers' attention interface.
    """
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    if model.config._attn_implementation != NAME:  # type: ignore[union-attr]
        raise ValueError(f"{type(model).__name__} has an attention of its own")


def _mask(*arguments: Any, **named: Any) -> torch.Tensor | None:
    return None if _laid_out else sdpa_mask(*arguments, **named)


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
    """As `sdpa_attention_forward`; in a packed pass query, key and value have the shape (1, heads, tokens, head size)."""
    if not _laid_out:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **named
        )
    layout = _laid_out[-1]
    odd = [name for name in _UNKNOWN if named.get(name) is not None]
    if odd:
        raise ValueError(f"its attention takes {', '.join(odd)}")
    window = named.get("sliding_window")
    mask = layout.mask if window is None else layout.within(int(window))
    heads, size = query.shape[1], value.shape[-1]
    queries = _by_sequence(query, layout.queries)
    keys, values = _by_sequence(key, layout.keys), _by_sequence(value, layout.keys)
    if query.device.type == "cpu" and not dropout and keys.shape[2] <= SHORT:
        attended = _attend_short(queries, keys, values, mask, scaling or query.shape[-1] ** -0.5)
    else:
        attended = functional.scaled_dot_product_attention(
            queries,
            repeat_kv(keys, heads // key.shape[1]),
            repeat_kv(values, heads // value.shape[1]),
            attn_mask=mask,
            dropout_p=dropout,
            scale=scaling,
        )
    by_place = attended.transpose(1, 2).reshape(-1, heads * size)
    return by_place.index_select(0, layout.places).view(1, -1, heads, size), None


def _attend_short(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention by two batched products. On a CPU torch's own takes twice the time forward and backward at such lengths.

    Query heads that share a key head are rows of one product, so keys and values are not repeated.
    """
    sequences, heads, longest, size = queries.shape
    shared, seen = keys.shape[1], keys.shape[2]
    rows = (sequences * shared, heads // shared * longest)
    bias = torch.zeros(mask.shape, dtype=queries.dtype).masked_fill_(~mask, -torch.inf)
    scores = torch.baddbmm(
        bias.expand(-1, heads, -1, -1).reshape(*rows, seen),
        (queries * scaling).reshape(*rows, size),
        keys.reshape(rows[0], seen, size).transpose(1, 2),
    )
    attended = torch.bmm(scores.softmax(dim=-1), values.reshape(rows[0], seen, -1))
    return attended.view(sequences, heads, longest, -1)


def _by_sequence(states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(1, heads, tokens, size) to (sequences, heads, longest, size)."""
    _, heads, _, size = states.shape
    flat = states[0].transpose(0, 1).reshape(-1, heads * size)
    gathered = flat.index_select(0, tokens.reshape(-1))
    return gathered.view(*tokens.shape, heads, size).transpose(1, 2)
