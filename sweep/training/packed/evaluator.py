"""Losses and answers of all slots in shared passes; the instruction that prompts begin with goes through once, and an answer
goes on from what scoring has read of the prompt and of the completion as far as the two agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional
from transformers import Cache

from sweep.training.base_model import LoadedBase
from sweep.training.batches import by_length
from sweep.training.encoding import Encoded
from sweep.training.forward import as_text, examples_at_once, is_known, stop_tokens
from sweep.training.packed.adapter import SlotAdapter, SlotRows
from sweep.training.packed.decoding import Begun, decoded, row_cache
from sweep.training.packed.label_likelihood import LabelTree, Prompted, likeliest_labels
from sweep.training.packed.layout import lay_out
from sweep.training.packed.pack import Pack
from sweep.training.quantization import evaluating
from sweep.training.scored import AnswerRule, CompletionLoss, OnScored, Scores

CACHED_TOKENS = 8192
"""About so many tokens' keys and values are kept at once: enough sequences to decode together, little memory."""


def packed_losses(
    base: LoadedBase,
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    encoded: Sequence[Encoded],
    on_progress: Callable[[int], None] | None = None,
) -> list[list[CompletionLoss]]:
    """The loss of each example's completion under each adapter, in the order of `adapters` and `encoded`.

    Args:
        adapters: None stands for the bare base.
        on_progress: told how many examples are done.
    """
    told = None if on_progress is None else lambda phase, done: on_progress(done)
    return [list(scores.losses) for scores in packed_scores(base, pack, adapters, encoded, None, told)]


def packed_scores(
    base: LoadedBase,
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    encoded: Sequence[Encoded],
    rule: AnswerRule | None,
    on_progress: OnScored | None = None,
) -> list[Scores]:
    """Losses and, by a rule, answers under each adapter, in the order of `adapters`; see `sweep.training.engine.Engine.score`."""
    scoring = _Scoring(base, pack, adapters, encoded, rule)
    told = on_progress or (lambda phase, done: None)
    seconds = {"score": 0.0, "answer": 0.0}
    done = 0
    with evaluating(base.model):
        for together in passes(encoded, len(adapters), together=rule is not None):
            clock = time.perf_counter()
            cache = row_cache() if rule is not None else None
            open_ones: list[_Read] = []
            for indices in together:
                open_ones += scoring.read(indices, cache)
                done += len(indices)
                told("score", done)
            read = time.perf_counter()
            if cache is not None:
                scoring.answer(sorted(open_ones, key=lambda one: one.slot), cache)
                told("answer", done)
            seconds["score"] += read - clock
            seconds["answer"] += time.perf_counter() - read
    shared = {phase: spent / len(adapters) for phase, spent in seconds.items() if phase == "score" or rule is not None}
    return [scoring.scores(slot, shared) for slot in range(len(adapters))]


@dataclass(frozen=True, slots=True)
class _Read:
    """An example that a pass has read and whose answer is not known yet.

    Attributes:
        places: where the cache has the prompt and the completion but its last token.
        best: the likeliest token at each place of the completion.
        first: see `Prompted`; empty without labels.
    """

    slot: int
    index: int
    places: torch.Tensor
    best: list[int]
    first: torch.Tensor


@dataclass
class _Scoring:
    base: LoadedBase
    pack: Pack
    adapters: Sequence[SlotAdapter | None]
    encoded: Sequence[Encoded]
    rule: AnswerRule | None
    losses: list[dict[int, CompletionLoss]] = field(init=False)
    answers: list[dict[int, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.losses = [{} for _ in self.adapters]
        self.answers = [{} for _ in self.adapters]
        labels = self.rule.labels if self.rule is not None else ()
        self._tree = LabelTree(labels, self.base.device) if labels else None
        self._stops = set(stop_tokens(self.base, self.base.model, self.encoded))

    def read(self, indices: Sequence[int], cache: Cache | None) -> list[_Read]:
        """One pass over examples under every adapter; returns those whose answer is still to be found."""
        batch = [self.encoded[index] for index in indices]
        layout = lay_out([batch] * len(self.adapters)).to(self.base.device)
        if cache is not None:
            layout = replace(layout, keys=layout.keys + cache.get_seq_length())
        shares = [SlotRows(adapter, rows) for adapter, rows in zip(self.adapters, layout.slot_tokens, strict=True)]
        counts = list(layout.completions)
        with self.pack.passing(layout, shares, cache) as logits:
            nats = functional.cross_entropy(logits, layout.labels, reduction="none")
            best = logits.argmax(dim=-1)
            firsts = self._first_tokens(logits, counts)
        right = best == layout.labels
        found = zip(nats.split(counts), right.split(counts), best.split(counts), layout.sequences, strict=True)
        open_ones = []
        for number, (part, is_right, words, sequence) in enumerate(found):
            slot, index = number // len(indices), indices[number % len(indices)]
            item = self.encoded[index]
            loss = CompletionLoss(float(part.sum(dtype=torch.float64)), len(part), bool(is_right.all()))
            self.losses[slot][index] = loss
            if self.rule is None:
                continue
            if is_known(item, loss, self.rule):
                self.answers[slot][index] = item.example.completion.strip()
            else:
                places = layout.keys[sequence, : len(item) - 1]
                open_ones.append(_Read(slot, index, places, words.tolist(), firsts[number]))
        return open_ones

    def _first_tokens(self, logits: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of the labels' first tokens for each example, shape (examples, labels)."""
        if self._tree is None:
            return logits.new_empty((len(counts), 0))
        starts = torch.tensor(counts, device=logits.device).cumsum(0) - torch.tensor(counts, device=logits.device)
        first = logits[starts]
        return first[:, self._tree.first] - first.logsumexp(dim=-1, keepdim=True)

    def answer(self, open_ones: Sequence[_Read], cache: Cache) -> None:
        """Answers what the passes have read, ordered by slot."""
        if self._tree is not None:
            self._choose(open_ones, cache, self._tree)
        else:
            self._decode(open_ones, cache)

    def _choose(self, open_ones: Sequence[_Read], cache: Cache, tree: LabelTree) -> None:
        assert self.rule is not None
        labels = self.rule.labels
        numbers = {label.ids: number for number, label in enumerate(labels)}
        prompted = [
            Prompted(
                one.slot,
                one.places[: len(self.encoded[one.index].prompt)],
                one.first,
                numbers.get(self.encoded[one.index].completion),
                self.losses[one.slot][one.index].nats,
            )
            for one in open_ones
        ]
        found = likeliest_labels(self.pack, self.adapters, cache, prompted, tree)
        for one, number in zip(open_ones, found, strict=True):
            self.answers[one.slot][one.index] = labels[number].text

    def _decode(self, open_ones: Sequence[_Read], cache: Cache) -> None:
        assert self.rule is not None
        begun = [self._begun(one, self.rule.max_new_tokens) for one in open_ones]
        found = decoded(self.pack, self.adapters, cache, begun, self.rule.max_new_tokens, self._stops)
        for one, ids in zip(open_ones, found, strict=True):
            self.answers[one.slot][one.index] = as_text(self.base, ids)

    def _begun(self, one: _Read, most: int) -> Begun:
        item = self.encoded[one.index]
        agreed = 0
        while agreed < min(len(one.best) - 1, most - 1) and one.best[agreed] == item.completion[agreed]:
            agreed += 1
        return Begun(one.slot, one.places[: len(item.prompt) + agreed], item.completion[:agreed], one.best[agreed])

    def scores(self, slot: int, seconds: dict[str, float]) -> Scores:
        """What the adapter of a slot came to."""
        every = range(len(self.encoded))
        answers = None if self.rule is None else tuple(self.answers[slot][index] for index in every)
        return Scores(tuple(self.losses[slot][index] for index in every), answers, dict(seconds))


def passes(encoded: Sequence[Encoded], slots: int, *, together: bool) -> Iterator[list[list[int]]]:
    """The examples of each pass, and `together` the passes whose keys and values are kept at the same time."""
    group: list[list[int]] = []
    tokens = 0
    for indices in by_length(encoded, examples_at_once(encoded, slots)):
        own = slots * sum(len(encoded[index]) for index in indices)
        if group and (not together or tokens + own > CACHED_TOKENS):
            yield group
            group, tokens = [], 0
        group.append(indices)
        tokens += own
    if group:
        yield group
