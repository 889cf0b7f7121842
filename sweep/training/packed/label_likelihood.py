"""Which label is likeliest: the labels that it can still be go through as a tree after each prompt's keys and values, so that
tokens which labels begin with in common are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from transformers import Cache

from sweep.training.forward import SCORE_LOGITS
from sweep.training.packed.adapter import SlotAdapter, SlotRows
from sweep.training.packed.layout import Layout
from sweep.training.packed.pack import Pack
from sweep.training.scored import Label


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt that the cache has.

    Attributes:
        slot: whose adapter is asked.
        places: where the cache has the prompt, in order.
        first: log-probability of each label's first token, shape (labels,).
        expected: number of the label whose likelihood is known, or None.
        nats: its negative log-likelihood.
    """

    slot: int
    places: torch.Tensor
    first: torch.Tensor
    expected: int | None
    nats: float


class LabelTree:
    """The labels' tokens as a tree; the last token of a label is predicted and goes through no layer.

    Attributes:
        ids: the tokens that go through, shape (nodes,).
        depth: how many tokens of the label are before each, shape (nodes,).
        sees: which node attends to which (itself and those it follows), bool, shape (nodes, nodes).
        edges: (node, the token after it) of each prediction, shape (edges, 2).
        of_label: which predictions make up each label beside its first token, 0 or 1, shape (labels, edges).
        on_path: which nodes a label goes through, 0 or 1, shape (labels, nodes).
        first: each label's first token, shape (labels,).
    """

    def __init__(self, labels: Sequence[Label], device: torch.device) -> None:
        nodes: dict[tuple[int, ...], int] = {}
        edges: dict[tuple[int, int], int] = {}
        paths: list[list[int]] = []
        chains: list[list[int]] = []
        for label in labels:
            paths.append([])
            chains.append([])
            for length in range(1, len(label.ids)):
                node = nodes.setdefault(label.ids[:length], len(nodes))
                paths[-1].append(node)
                chains[-1].append(edges.setdefault((node, label.ids[length]), len(edges)))
        self.ids = torch.tensor([beginning[-1] for beginning in nodes], dtype=torch.long, device=device)
        self.depth = torch.tensor([len(beginning) - 1 for beginning in nodes], dtype=torch.long, device=device)
        self.sees = torch.zeros((len(nodes), len(nodes)), dtype=torch.bool, device=device)
        for beginning, node in nodes.items():
            for length in range(1, len(beginning) + 1):
                self.sees[node, nodes[beginning[:length]]] = True
        self.edges = torch.tensor(list(edges), dtype=torch.long, device=device).view(-1, 2)
        self.of_label = _indicator(chains, len(edges), device)
        self.on_path = _indicator(paths, len(nodes), device)
        self.first = torch.tensor([label.ids[0] for label in labels], device=device)


def likeliest_labels(
    pack: Pack, adapters: Sequence[SlotAdapter | None], cache: Cache, prompted: Sequence[Prompted], tree: LabelTree
) -> list[int]:
    """The number of the likeliest label after each prompt; of equal ones the first. The cache is left as it was.

    A label is no likelier than its first token, so only labels whose first token is likelier than the whole expected completion
    are looked into.

    Args:
        adapters: by slot.
        prompted: ordered by slot.
    """
    if not prompted:
        return []
    cached = cache.get_seq_length()
    first = torch.stack([each.first for each in prompted])
    known = torch.full_like(first, torch.inf)
    for row, each in enumerate(prompted):
        if each.expected is not None:
            known[row, each.expected] = each.nats
    in_question = (-first < known.min(dim=1, keepdim=True).values) & known.isinf()
    needed = in_question.to(tree.on_path.dtype) @ tree.on_path > 0
    rest = torch.zeros_like(first)
    for rows in _at_once(needed.sum(dim=1).tolist()):
        packed_row = _Row([prompted[index].places for index in rows], needed[rows], tree, cached)
        counts = [
            (slot, int(packed_row.counts[list(own)].sum()))
            for slot, own in groupby(range(len(rows)), key=lambda place: prompted[rows[place]].slot)
        ]
        layout = packed_row.layout([count for _, count in counts])
        shares = [SlotRows(adapters[slot], count) for slot, count in counts]
        rest[rows] = _each_edge(pack, layout, shares, cache, packed_row, tree) @ tree.of_label.t()
        cache.crop(cached)
    # a label that was not looked into is less likely than the expected one, whatever stands in `rest`
    nats = torch.where(in_question, -first - rest, known)
    return nats.argmin(dim=1).tolist()


def _each_edge(
    pack: Pack, layout: Layout, shares: Sequence[SlotRows], cache: Cache, row: _Row, tree: LabelTree
) -> torch.Tensor:
    """The log-probability of each of the tree's predictions after each prompt, shape (prompts, edges)."""
    with pack.passing(layout, shares, cache) as logits:
        # of the logits, which are large, no normalized copy is made
        chosen = logits[row.index[:, tree.edges[:, 0]], tree.edges[:, 1]]
        return chosen - logits.logsumexp(dim=-1)[row.index[:, tree.edges[:, 0]]]


def _indicator(members: Sequence[Sequence[int]], size: int, device: torch.device) -> torch.Tensor:
    found = torch.zeros((len(members), size), device=device)
    for row, own in enumerate(members):
        found[row, list(own)] = 1.0
    return found


def _at_once(nodes: Sequence[int]) -> Iterator[list[int]]:
    """Which prompts go through together; those without a node need not."""
    rows: list[int] = []
    used = 0
    for row, own in enumerate(nodes):
        if own == 0:
            continue
        if rows and used + own > SCORE_LOGITS:
            yield rows
            rows, used = [], 0
        rows.append(row)
        used += own
    if rows:
        yield rows


class _Row:
    """The row of each prompt's part of the tree, prompt after prompt.

    Attributes:
        counts: how many nodes each prompt has, shape (prompts,).
        index: where in the row a prompt's node is, shape (prompts, nodes); 0 for one that is not in it.

    Args:
        places: where the cache has each prompt.
        needed: which nodes each needs, at least one, shape (prompts, nodes).
        cached: how many places the cache has.
    """

    def __init__(self, places: Sequence[torch.Tensor], needed: torch.Tensor, tree: LabelTree, cached: int) -> None:
        self._tree, self._needed, self._cached = tree, needed, cached
        self._lengths = torch.tensor([len(own) for own in places], device=needed.device)
        # what a short prompt lacks stands for a place of its own, unseen
        longest = int(self._lengths.max())
        self._prompts = torch.stack([torch.cat([own, own[:1].expand(longest - len(own))]) for own in places])
        self.counts = needed.sum(dim=1)
        self.index = torch.where(needed, needed.flatten().cumsum(0).view_as(needed) - 1, 0)

    def layout(self, slot_tokens: Sequence[int]) -> Layout:
        """The row as a pass takes it."""
        tree, device = self._tree, self._needed.device
        prompt, node = self._needed.nonzero(as_tuple=True)
        begun = self.counts.cumsum(0) - self.counts
        place = torch.arange(int(self.counts.max()), device=device)
        # filled up with a node of the prompt's own
        queries = begun[:, None] + torch.minimum(place, self.counts[:, None] - 1)
        nodes = node[queries]
        column = torch.arange(self._prompts.shape[1], device=device)
        sees_prompt = (column < self._lengths[:, None])[:, None, :].expand(-1, len(place), -1)
        sees_nodes = tree.sees[nodes[:, :, None], nodes[:, None, :]] & (place < self.counts[:, None])[:, None, :]
        row = torch.arange(len(node), device=device)
        return Layout(
            ids=tree.ids[node],
            positions=self._lengths[prompt] + tree.depth[node],
            slot_tokens=tuple(slot_tokens),
            slot_examples=(),
            queries=queries,
            keys=torch.cat([self._prompts, self._cached + queries], dim=1),
            mask=torch.cat([sees_prompt, sees_nodes], dim=2)[:, None],
            places=prompt * len(place) + row - begun[prompt],
            kept=row,
            labels=tree.ids[node],
            completions=(),
            sequences=(),
            columns=torch.cat([column.expand(len(self.counts), -1), self._lengths[:, None] + tree.depth[nodes]], dim=1),
        )
