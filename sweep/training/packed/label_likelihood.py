"""The most likely label of each prompt. Labels go through the model as a tree after the prompt's cached keys and values, so
that a common beginning is computed once, and only labels that can still be the most likely are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from transformers import Cache

from sweep.training.losses_and_answers import Label
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.evaluation_sizes import evaluation_sizes
from sweep.training.packed.hooks import SlotRows
from sweep.training.packed.layout import Layout, to_device
from sweep.training.packed.pack import Pack
from sweep.training.packed.tables import Table, rounded


@dataclass(frozen=True, slots=True)
class CachedPrompt:
    """A prompt in the cache.

    Attributes:
        slot: index of the adapter.
        places: cache indices of virtual tokens and of the prompt's, in order.
        first: log-probability of each label's first token, shape (labels,).
        expected: index of the label whose likelihood is known, or None.
        nats: negative log-likelihood of that label.
    """

    slot: int
    places: torch.Tensor
    first: torch.Tensor
    expected: int | None
    nats: float


class LabelTree:
    """The labels' tokens as a prefix tree. The last token of a label is only predicted, so it has no node.

    Attributes:
        ids: token id of each node, shape (nodes,).
        depth: number of the label's tokens before each node, shape (nodes,).
        sees: whether a node attends to another (itself and its ancestors), bool, shape (nodes, nodes).
        edges: (node, next token) of each prediction, shape (edges, 2).
        of_label: 1 for the predictions of each label after its first token, else 0, shape (labels, edges).
        on_path: 1 for the nodes of each label, else 0, shape (labels, nodes).
        first: first token of each label, shape (labels,).
        compared: whether a label is compared with the one that is expected, bool, shape (expected labels, labels); None if all are.

    Args:
        kinds: see `AnswerRule`; with them, every expected completion is a label.
    """

    def __init__(self, labels: Sequence[Label], device: torch.device, kinds: Sequence[int] = ()) -> None:
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
        self.ids = torch.tensor([prefix[-1] for prefix in nodes], dtype=torch.long, device=device)
        self.depth = torch.tensor([len(prefix) - 1 for prefix in nodes], dtype=torch.long, device=device)
        self.sees = torch.zeros((len(nodes), len(nodes)), dtype=torch.bool, device=device)
        for prefix, node in nodes.items():
            for length in range(1, len(prefix) + 1):
                self.sees[node, nodes[prefix[:length]]] = True
        self.edges = torch.tensor(list(edges), dtype=torch.long, device=device).view(-1, 2)
        self.of_label = _indicator(chains, len(edges), device)
        self.on_path = _indicator(paths, len(nodes), device)
        self.first = torch.tensor([label.ids[0] for label in labels], device=device)
        of_kind = torch.tensor(list(kinds), device=device)
        self.compared = of_kind[:, None] == of_kind if kinds else None


def most_likely_labels(
    pack: Pack, adapters: Sequence[SlotAdapter | None], cache: Cache, prompts: Sequence[CachedPrompt], tree: LabelTree
) -> list[int]:
    """Index of the most likely label after each prompt; the first of equal ones. Leaves the cache unchanged.

    A label is at most as likely as its first token. So only labels whose first token is more likely than the whole expected
    completion are computed.

    Args:
        adapters: by slot.
        prompts: ordered by slot.
    """
    if not prompts:
        return []
    cached = cache.get_seq_length()
    first = torch.stack([prompt.first for prompt in prompts])  # (prompts, labels)
    known = _known(prompts, first)
    candidate = (-first < known.min(dim=1, keepdim=True).values) & known.isinf()
    if tree.compared is not None:
        (expected,) = to_device([[prompt.expected or 0 for prompt in prompts]], first.device)
        candidate &= tree.compared[expected]
    needed = candidate.to(tree.on_path.dtype) @ tree.on_path > 0  # (prompts, nodes)
    rest = torch.zeros_like(first)
    on_host = needed.cpu()  # read back once: it decides on the passes and their shapes
    for rows in _batches(on_host.sum(dim=1).tolist(), evaluation_sizes(first.device).predictions):
        packed = _PromptNodes([prompts[index].places for index in rows], on_host[rows], tree, cached)
        counts = [
            (slot, sum(packed.nodes[place] for place in own))
            for slot, own in groupby(range(len(rows)), key=lambda place: prompts[rows[place]].slot)
        ]
        layout = packed.layout([count for _, count in counts])
        slots = [SlotRows(adapters[slot], count) for slot, count in counts]
        rest[rows] = _edge_log_probabilities(pack, layout, slots, cache, packed, tree) @ tree.of_label.t()
        cache.crop(cached)
    # labels that are no candidates are less likely than the expected one, so their part of `rest` is not used
    nats = torch.where(candidate, -first - rest, known)
    return nats.argmin(dim=1).tolist()


def _known(prompts: Sequence[CachedPrompt], first: torch.Tensor) -> torch.Tensor:
    """The likelihoods that are known in nats, else infinity, shaped and placed as `first`, which has a column for each label."""
    known = torch.full(first.shape, torch.inf, dtype=first.dtype)
    for row, prompt in enumerate(prompts):
        if prompt.expected is not None:
            known[row, prompt.expected] = prompt.nats
    return known.to(first.device)


def _edge_log_probabilities(
    pack: Pack, layout: Layout, slots: Sequence[SlotRows], cache: Cache, packed: _PromptNodes, tree: LabelTree
) -> torch.Tensor:
    """Log-probability of each edge of the tree after each prompt, shape (prompts, edges)."""
    with pack.forward(layout, slots, cache) as logits:  # (row, vocabulary)
        # indexing first avoids a normalized copy of the logits, which are large
        chosen = logits[packed.index[:, tree.edges[:, 0]], tree.edges[:, 1]]
        return chosen - logits.logsumexp(dim=-1)[packed.index[:, tree.edges[:, 0]]]


def _indicator(members: Sequence[Sequence[int]], size: int, device: torch.device) -> torch.Tensor:
    matrix = torch.zeros((len(members), size), device=device)
    for row, own in enumerate(members):
        matrix[row, list(own)] = 1.0
    return matrix


def _batches(nodes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Prompts per pass of about `most` nodes, by their numbers of nodes; prompts without nodes need no pass."""
    rows: list[int] = []
    used = 0
    for row, own in enumerate(nodes):
        if own == 0:
            continue
        if rows and used + own > most:
            yield rows
            rows, used = [], 0
        rows.append(row)
        used += own
    if rows:
        yield rows


class _PromptNodes:
    """The row of the tree nodes that each prompt needs, by prompt. Shapes are known on the host, which so waits for no device.

    Attributes:
        nodes: number of nodes of each prompt.
        index: row index of each prompt's nodes, shape (prompts, nodes); 0 for nodes not in the row.

    Args:
        places: cache indices of each prompt.
        needed: nodes that each prompt needs, at least one, bool, on the host, shape (prompts, nodes).
        cached: number of tokens in the cache.
    """

    def __init__(self, places: Sequence[torch.Tensor], needed: torch.Tensor, tree: LabelTree, cached: int) -> None:
        self._tree, self._cached = tree, cached
        self._device = places[0].device
        self.nodes: list[int] = needed.sum(dim=1).tolist()
        prompt, node = needed.nonzero(as_tuple=True)
        lengths = [len(own) for own in places]
        self._prompt, self._node, self._lengths, self._counts = to_device(
            [prompt.tolist(), node.tolist(), lengths, self.nodes], self._device
        )
        # padding points at the prompt itself and is masked
        longest = rounded(max(lengths) + max(self.nodes), self._device) - max(self.nodes)
        self._prompts = torch.stack([torch.cat([own, own[:1].expand(longest - len(own))]) for own in places])
        index = torch.where(needed, needed.flatten().cumsum(0).view_as(needed) - 1, 0)
        self.index = index.to(self._device, non_blocking=True)

    def layout(self, slot_tokens: Sequence[int]) -> Layout:
        """The layout of the row."""
        tree, device, prompt, node = self._tree, self._device, self._prompt, self._node
        start = self._counts.cumsum(0) - self._counts  # (prompts,)
        place = torch.arange(max(self.nodes), device=device)
        # padded with a node of the same prompt
        queries = start[:, None] + torch.minimum(place, self._counts[:, None] - 1)  # (prompts, most nodes)
        nodes = node[queries]
        column = torch.arange(self._prompts.shape[1], device=device)
        sees_prompt = (column < self._lengths[:, None])[:, None, :].expand(-1, len(place), -1)
        sees_nodes = tree.sees[nodes[:, :, None], nodes[:, None, :]] & (place < self._counts[:, None])[:, None, :]
        row = torch.arange(len(node), device=device)
        return Layout(
            ids=tree.ids[node],
            positions=self._lengths[prompt] + tree.depth[node],
            slot_tokens=tuple(slot_tokens),
            slot_examples=(),
            tables=(
                Table(
                    queries,
                    keys=torch.cat([self._prompts, self._cached + queries], dim=1),
                    mask=torch.cat([sees_prompt, sees_nodes], dim=2)[:, None],
                    columns=torch.cat(
                        [column.expand(len(self._counts), -1), self._lengths[:, None] + tree.depth[nodes]], dim=1
                    ),
                ),
            ),
            places=prompt * len(place) + row - start[prompt],
            kept=row,
            labels=tree.ids[node],
            completions=(),
            sequences=(),
        )
