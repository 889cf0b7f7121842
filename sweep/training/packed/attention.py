"""Attention for a packed row: each example attends to its own tokens and to the prefix it shares.

It is registered with transformers as an attention implementation, so any model that uses transformers' attention interface
can be packed unchanged. Outside a packed pass it is plain `sdpa`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sweep.training.packed.layout import Layout

NAME = "goldilocks_packed"
"""Name of the implementation in transformers' registry."""

SHORT = 512
"""Up to this number of keys per sequence, a CPU computes attention by plain products, with all scores in memory."""

_SEARCH = "find_packed_sequence_indices"
"""Name of a function of transformers, absent in some versions."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""Arguments that some models pass to their attention and that are not implemented here."""


Given = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""The given keys and values of each layer, each of shape (given tokens, key heads, head_dim)."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass over a layout, its given keys and values, and the biases that its layers share."""

    layout: Layout
    given: Given = ()
    biases: dict[tuple[int, int | None, torch.dtype, int], torch.Tensor] = field(default_factory=dict)

    def bias(self, table: int, window: int | None, dtype: torch.dtype, repeats: int = 1) -> torch.Tensor:
        """What is added to the scores of a table: 0, or minus infinity where a query does not attend to a key.

        Each layer needs the same numbers and keeps them for its backward pass, so they are made once.

        Args:
            window: see `Table.within`; None for full attention.
            repeats: how often the queries follow each other.

        Returns:
            Shape (sequences, 1, repeats * queries, keys).
        """
        key = (table, window, dtype, repeats)
        if key not in self.biases:
            own = self.layout.tables[table]
            mask = own.mask if window is None else own.within(window, self.layout.positions)
            bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
            self.biases[key] = bias.repeat(1, 1, repeats, 1) if repeats > 1 else bias
        return self.biases[key]


_passes: list[_Pass] = []
"""Stack of passes; the last is the current one. Not a context variable: CUDA's backward runs in other threads."""


@contextmanager
def packed_attention(layout: Layout, given: Given = ()) -> Iterator[None]:
    """Context in which the model's input, in forward and backward passes, is a row of this layout.

    Args:
        given: the layout's given keys and values; empty if there are none, or if they are in a cache.
    """
    _passes.append(_Pass(layout, given))
    try:
        yield
    finally:
        _passes.pop()


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
    _find_no_packed_sequences()
    if any(parameter.is_cuda for parameter in model.parameters()):
        # on Hopper and later torch prefers cuDNN, which makes a plan for each shape; shapes differ from step to step
        torch.backends.cuda.enable_cudnn_sdp(False)


def _mask(*arguments: Any, **named: Any) -> torch.Tensor | None:
    return None if _passes else sdpa_mask(*arguments, **named)


def _find_no_packed_sequences() -> None:
    """Spares a packed pass transformers' search for sequences in its positions, for a mask that is not used.

    The search reads a result back, so on a GPU the host would wait for the device in every pass.
    """
    search = getattr(masking_utils, _SEARCH, None)
    if search is None or hasattr(search, "__wrapped__"):
        return

    @wraps(search)
    def unless_packed(*arguments: Any, **named: Any) -> torch.Tensor | None:
        found: torch.Tensor | None = None if _passes else search(*arguments, **named)
        return found

    setattr(masking_utils, _SEARCH, unless_packed)


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
    if not _passes:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **named
        )
    current = _passes[-1]
    unsupported = [name for name in _UNSUPPORTED if named.get(name) is not None]
    if unsupported:
        raise ValueError(f"its attention uses {', '.join(unsupported)}, which packing does not support")
    window = named.get("sliding_window")
    heads, head_dim = query.shape[1], value.shape[-1]
    states = [_by_token(each) for each in (query, key, value)]
    if current.given:
        layer: Any = module.layer_idx
        own = current.given[layer]
        states[1:] = (torch.cat(pair) for pair in zip(own, states[1:], strict=True))
    parts = []
    for number, table in enumerate(current.layout.tables):
        queries = _by_sequence(states[0], table.queries)  # (sequences, heads, queries, head_dim)
        keys = _by_sequence(states[1], table.keys)  # (sequences, key heads, keys, head_dim)
        values = _by_sequence(states[2], table.keys)  # (sequences, key heads, keys, head_dim)
        bias = partial(current.bias, number, None if window is None else int(window), queries.dtype)
        attended = _attend(queries, keys, values, bias, dropout, scaling)
        parts.append(attended.transpose(1, 2).reshape(-1, heads * head_dim))
    flat = parts[0] if len(parts) == 1 else torch.cat(parts)  # (queries of all tables, heads * head_dim)
    return flat.index_select(0, current.layout.places).view(1, -1, heads, head_dim), None


def _attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: Callable[..., torch.Tensor],
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of the sequences of one table, shape (sequences, heads, queries, head_dim).

    Args:
        bias: see `_Pass.bias`; takes `repeats`.
    """
    heads, key_heads = queries.shape[1], keys.shape[1]
    if queries.device.type == "cpu":
        if not dropout and keys.shape[2] <= SHORT:
            return _attend_short(queries, keys, values, bias(), scaling or queries.shape[-1] ** -0.5)
        keys, values = (repeat_kv(each, heads // key_heads) for each in (keys, values))
    elif heads != key_heads and not takes_grouped_queries(queries, keys, values, bias(), dropout):
        return attend_folded(queries, keys, values, bias(repeats=heads // key_heads), dropout, scaling)
    return functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=bias(),
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=heads != keys.shape[1],
    )


def takes_grouped_queries(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, dropout: float
) -> bool:
    """Whether torch's memory-efficient kernel, the only one here that takes a bias, takes fewer key heads than query heads.

    Which versions and GPUs do differs. Otherwise torch would repeat keys and values and keep all scores in memory.
    """
    if queries.device.type != "cuda":
        return False
    asked = torch.backends.cuda.SDPAParams(queries, keys, values, bias, dropout, False, True)
    return torch.backends.cuda.can_use_efficient_attention(asked)


def attend_folded(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Grouped-query attention on any kernel without repeating keys and values: heads that share a key head become more queries.

    Args:
        bias: with the queries repeated for each head of a group.
    """
    sequences, heads, length, head_dim = queries.shape
    key_heads = keys.shape[1]
    attended = functional.scaled_dot_product_attention(
        queries.reshape(sequences, key_heads, heads // key_heads * length, head_dim),
        keys,
        values,
        attn_mask=bias,
        dropout_p=dropout,
        scale=scaling,
    )
    return attended.reshape(sequences, heads, length, -1)


def _attend_short(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention by two batched products; for such lengths on a CPU twice as fast as torch's, forward and backward.

    Query heads that share a key head are rows of one product, so keys and values are not repeated.
    """
    sequences, heads, longest_query, head_dim = queries.shape
    key_heads, longest_key = keys.shape[1], keys.shape[2]
    rows = (sequences * key_heads, heads // key_heads * longest_query)
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
