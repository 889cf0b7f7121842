"""Which label is likeliest: all labels of all prompts in one row, as a tree, so that tokens which labels begin with in common go
through once, on top of the prompts' keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from transformers import Cache

from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.layout import Layout
from sweep.training.packed.pack import Pack
from sweep.training.packed.slots import Share
from sweep.training.scored import Label

_LOGITS = 1024
"""About so many tokens' logits are in memory at once."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt that the cache has.

    Attributes:
        slot: whose adapter is asked.
        places: where the cache has the prompt, in order.
        first: log-probability of each label's first token, shape (labels,).
    """

    slot: int
    places: torch.Tensor
    first: torch.Tensor


class LabelTree:
    """The labels' tokens as a tree; the last token of a label is predicted and goes through no layer.

    Attributes:
        ids: the tokens that go through, shape (nodes,).
        depth: how many tokens of the label are before each, shape (nodes,).
        sees: which node attends to which (itself and those it follows), bool, shape (nodes, nodes).
        edges: (node, the token after it) of each prediction, shape (edges, 2).
        of_label: which predictions make up each label beside its first token, 0 or 1, shape (labels, edges).
    """

    def __init__(self, labels: Sequence[Label], device: torch.device) -> None:
        nodes: dict[tuple[int, ...], int] = {}
        edges: dict[tuple[int, int], int] = {}
        chains = []
        for label in labels:
            chain = []
            for length in range(1, len(label.ids)):
                node = nodes.setdefault(label.ids[:length], len(nodes))
                chain.append(edges.setdefault((node, label.ids[length]), len(edges)))
            chains.append(chain)
        self.ids = torch.tensor([beginning[-1] for beginning in nodes], dtype=torch.long, device=device)
        self.depth = torch.tensor([len(beginning) - 1 for beginning in nodes], dtype=torch.long, device=device)
        self.sees = torch.zeros((len(nodes), len(nodes)), dtype=torch.bool, device=device)
        for beginning, node in nodes.items():
            for length in range(1, len(beginning) + 1):
                self.sees[node, nodes[beginning[:length]]] = True
        self.edges = torch.tensor(list(edges), dtype=torch.long, device=device).view(-1, 2)
        self.of_label = torch.zeros((len(labels), len(edges)), device=device)
        for row, chain in enumerate(chains):
            self.of_label[row, chain] = 1.0
        self.first = torch.tensor([label.ids[0] for label in labels], device=device)

    def __len__(self) -> int:
        return len(self.ids)


def label_nats(
    pack: Pack, adapters: Sequence[SlotAdapter | None], cache: Cache, prompted: Sequence[Prompted], tree: LabelTree
) -> list[list[float]]:
    """The negative log-likelihood of each label after each prompt. The cache is left as it was.

    Args:
        adapters: by slot.
        prompted: ordered by slot.
    """
    if not len(tree):
        return [(-each.first).tolist() for each in prompted]
    found: list[list[float]] = []
    cached, at_once = cache.get_seq_length(), max(1, _LOGITS // len(tree))
    for start in range(0, len(prompted), at_once):
        some = prompted[start : start + at_once]
        layout = _layout(some, tree, cached)
        counts = [(slot, len(list(own))) for slot, own in groupby(each.slot for each in some)]
        shares = [Share(adapters[slot], count * len(tree)) for slot, count in counts]
        with pack.passing(layout, shares, cache) as logits:
            likely = logits - logits.logsumexp(dim=-1, keepdim=True)
            each_edge = likely.view(len(some), len(tree), -1)[:, tree.edges[:, 0], tree.edges[:, 1]]
        cache.crop(cached)
        found += (-torch.stack([each.first for each in some]) - each_edge @ tree.of_label.t()).tolist()
    return found


def _layout(prompted: Sequence[Prompted], tree: LabelTree, cached: int) -> Layout:
    """The row of the tree after each prompt."""
    device, nodes = tree.ids.device, len(tree)
    lengths = torch.tensor([len(each.places) for each in prompted], device=device)
    longest = int(lengths.max())
    # what a short prompt lacks stands for a place of its own, unseen
    prompts = torch.stack(
        [torch.cat([own.places, own.places[:1].expand(longest - len(own.places))]) for own in prompted]
    )
    row = torch.arange(len(prompted) * nodes, device=device)
    column = torch.arange(longest, device=device)
    positions = lengths[:, None] + tree.depth
    sees_prompt = (column < lengths[:, None])[:, None, :].expand(-1, nodes, -1)
    mask = torch.cat([sees_prompt, tree.sees.expand(len(prompted), -1, -1)], dim=2)
    counts = [len(list(own)) for _, own in groupby(each.slot for each in prompted)]
    return Layout(
        ids=tree.ids.repeat(len(prompted)),
        positions=positions.reshape(-1),
        slot_tokens=tuple(count * nodes for count in counts),
        slot_examples=tuple(counts),
        queries=row.view(len(prompted), nodes),
        keys=torch.cat([prompts, cached + row.view(len(prompted), nodes)], dim=1),
        mask=mask[:, None],
        places=row,
        kept=row,
        labels=tree.ids.repeat(len(prompted)),
        completions=(nodes,) * len(prompted),
        sequences=tuple(range(len(prompted))),
        columns=torch.cat([column.expand(len(prompted), -1), positions], dim=1),
    )
