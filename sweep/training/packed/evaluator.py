"""Losses and answers of all slots in shared passes. A prefix that prompts share is computed once, and an answer continues from
the cached prompt and the part of the completion that the model agrees with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional
from transformers import Cache

from sweep.training.base_model import LoadedBase
from sweep.training.batches import PassLimit, in_batches, pass_limits, run_in_batches, shortest_first
from sweep.training.encoding import Encoded
from sweep.training.forward import as_text, is_known, stop_tokens
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, CompletionLoss, OnEvaluated
from sweep.training.packed.adapter import SlotAdapter
from sweep.training.packed.decoding import PartialAnswer, decode, row_cache
from sweep.training.packed.evaluation_sizes import ON_A_CPU, EvaluationSizes, evaluation_sizes
from sweep.training.packed.hooks import SlotRows
from sweep.training.packed.label_likelihood import CachedPrompt, LabelTree, most_likely_labels
from sweep.training.packed.pack import Pack


def packed_losses(
    base: LoadedBase,
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    encoded: Sequence[Encoded],
    on_progress: Callable[[int], None] | None = None,
) -> list[list[CompletionLoss]]:
    """The loss of each completion under each adapter, in the order of `adapters` and `encoded`.

    Args:
        adapters: None stands for the base alone.
        on_progress: receives the number of examples done.
    """
    report = None if on_progress is None else lambda phase, done: on_progress(done)
    evaluator = _Evaluator(base, pack, adapters, encoded, None)
    evaluator.run(report)
    return [evaluator.losses(slot) for slot in range(len(adapters))]


def run_one_pass(
    base: LoadedBase, pack: Pack, adapters: Sequence[SlotAdapter | None], encoded: Sequence[Encoded]
) -> None:
    """Computes the losses in a single pass, whatever memory it takes, for measuring that."""
    evaluator = _Evaluator(base, pack, adapters, encoded, None)
    with pack.evaluating():
        evaluator.compute_losses(range(len(encoded)), None)


def evaluate(
    base: LoadedBase,
    pack: Pack,
    adapters: Sequence[SlotAdapter | None],
    encoded: Sequence[Encoded],
    rule: AnswerRule | None,
    on_progress: OnEvaluated | None = None,
) -> list[AdapterOutcomes]:
    """Losses and answers under each adapter, in the order of `adapters`; see `sweep.training.engine.Engine.evaluate`."""
    evaluator = _Evaluator(base, pack, adapters, encoded, rule)
    seconds = evaluator.run(on_progress)
    return [evaluator.outcomes(slot, seconds) for slot in range(len(adapters))]


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """An example whose answer does not follow from its loss.

    Attributes:
        slot: index of the adapter.
        index: index of the example.
        places: cache indices of virtual tokens, the prompt and the completion without its last token.
        best: the most likely token at each position of the completion.
        first: see `CachedPrompt`; empty without labels.
    """

    slot: int
    index: int
    places: torch.Tensor
    best: list[int]
    first: torch.Tensor


class _Evaluator:
    """Evaluates examples under several adapters at once, and collects losses and answers by adapter and example."""

    def __init__(
        self,
        base: LoadedBase,
        pack: Pack,
        adapters: Sequence[SlotAdapter | None],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
    ) -> None:
        self._base = base
        self._pack = pack
        self._adapters = adapters
        self._encoded = encoded
        self._rule = rule
        self._losses: list[dict[int, CompletionLoss]] = [{} for _ in adapters]
        self._answers: list[dict[int, str]] = [{} for _ in adapters]
        self._tree = LabelTree(rule.labels, base.device, rule.kinds) if rule is not None and rule.labels else None
        self._stops = set(stop_tokens(base, base.model, encoded))

    def run(self, on_progress: OnEvaluated | None) -> dict[str, float]:
        """Computes all losses and, with a rule, answers; returns the seconds per adapter by phase."""
        report = on_progress or (lambda phase, done: None)
        rule, adapters = self._rule, len(self._adapters)
        sizes = evaluation_sizes(self._base.device)
        passes = pass_limits(self._encoded, sizes.tokens, sizes.predictions, adapters)
        seconds = {"score": 0.0, "answer": 0.0}

        def run_group(group: Sequence[int]) -> None:
            start = time.perf_counter()
            cache = self._new_cache() if rule is not None else None
            unanswered: list[_Unanswered] = []
            for indices in in_batches(group, passes):
                unanswered += self.compute_losses(indices, cache)
                report("score", len(self._losses[0]))
            middle = time.perf_counter()
            if rule is not None and cache is not None:
                self.answer(sorted(unanswered, key=lambda one: one.slot), rule, cache)
                report("answer", len(self._answers[0]))
            seconds["score"] += middle - start
            seconds["answer"] += time.perf_counter() - middle

        with self._pack.evaluating():
            limits = _group_limits(self._encoded, adapters, sizes, with_answers=rule is not None)
            run_in_batches(shortest_first(self._encoded), limits, run_group)
        return {phase: spent / adapters for phase, spent in seconds.items() if phase == "score" or rule is not None}

    def _new_cache(self) -> Cache:
        cache = row_cache()
        self._pack.give(cache, self._adapters)
        return cache

    def _before(self, slot: int) -> int:
        """Number of virtual tokens before each example."""
        adapter = self._adapters[slot]
        return 0 if adapter is None else adapter.virtual.count

    def compute_losses(self, indices: Sequence[int], cache: Cache | None) -> list[_Unanswered]:
        """Runs one pass over examples under every adapter; returns those that still need an answer."""
        batch = [self._encoded[index] for index in indices]
        layout = self._pack.lay_out(self._adapters, [batch] * len(self._adapters))
        if cache is not None:
            layout = layout.after(cache.get_seq_length())
        slots = [SlotRows(adapter, rows) for adapter, rows in zip(self._adapters, layout.slot_tokens, strict=True)]
        counts = list(layout.completions)
        starts = list(accumulate(counts[:-1], initial=0))  # index of each example's first prediction
        read: list[tuple[torch.Tensor, ...]] = []
        with self._pack.predictions(layout, slots, cache) as predictions:
            before = 0
            for logits in predictions.logits():  # (predictions of a chunk, vocabulary)
                end = before + len(logits)
                nats = functional.cross_entropy(logits, layout.labels[before:end], reduction="none")
                firsts = [start - before for start in starts if before <= start < end]
                read.append((nats, logits.argmax(dim=-1), self._first_token_log_probabilities(logits, firsts)))
                before = end
        # (predictions,), (predictions,), (examples, labels)
        nats, best, first = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*read, strict=True))
        unanswered = []
        for number, (total, tokens) in enumerate(_by_example(nats, best, counts)):
            slot, index = number // len(indices), indices[number % len(indices)]
            item = self._encoded[index]
            loss = CompletionLoss(total, len(tokens), tokens == list(item.completion))
            self._losses[slot][index] = loss
            if self._rule is None:
                continue
            if is_known(item, loss, self._rule):
                self._answers[slot][index] = item.example.completion.strip()
            else:
                places = layout.keys_of(number, self._before(slot) + len(item) - 1)
                unanswered.append(_Unanswered(slot, index, places, tokens, first[number]))
        return unanswered

    def _first_token_log_probabilities(self, logits: torch.Tensor, starts: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of the labels' first tokens, shape (examples, labels).

        Args:
            starts: the row of `logits` after each prompt.
        """
        if self._tree is None:
            return logits.new_empty((len(starts), 0))
        first = logits[torch.tensor(starts, dtype=torch.long, device=logits.device)]  # (examples, vocabulary)
        return first[:, self._tree.first] - first.logsumexp(dim=-1, keepdim=True)

    def answer(self, unanswered: Sequence[_Unanswered], rule: AnswerRule, cache: Cache) -> None:
        """Answers the examples, which are ordered by slot."""
        if self._tree is not None:
            self._choose_labels(unanswered, rule, cache, self._tree)
        else:
            self._decode(unanswered, rule, cache)

    def _choose_labels(
        self, unanswered: Sequence[_Unanswered], rule: AnswerRule, cache: Cache, tree: LabelTree
    ) -> None:
        numbers = {label.ids: number for number, label in enumerate(rule.labels)}
        prompts = [
            CachedPrompt(
                one.slot,
                one.places[: self._before(one.slot) + len(self._encoded[one.index].prompt)],
                one.first,
                numbers.get(self._encoded[one.index].completion),
                self._losses[one.slot][one.index].nats,
            )
            for one in unanswered
        ]
        chosen = most_likely_labels(self._pack, self._adapters, cache, prompts, tree)
        for one, number in zip(unanswered, chosen, strict=True):
            self._answers[one.slot][one.index] = rule.labels[number].text

    def _decode(self, unanswered: Sequence[_Unanswered], rule: AnswerRule, cache: Cache) -> None:
        partial = [self._partial_answer(one, rule.max_new_tokens) for one in unanswered]
        decoded = decode(self._pack, self._adapters, cache, partial, rule.max_new_tokens, self._stops)
        for one, ids in zip(unanswered, decoded, strict=True):
            self._answers[one.slot][one.index] = as_text(self._base, ids)

    def _partial_answer(self, one: _Unanswered, max_new_tokens: int) -> PartialAnswer:
        """The beginning of the completion, as far as the model agrees with it, and the model's next token."""
        item = self._encoded[one.index]
        agreed = 0
        while agreed < min(len(one.best) - 1, max_new_tokens - 1) and one.best[agreed] == item.completion[agreed]:
            agreed += 1
        known = self._before(one.slot) + len(item.prompt) + agreed
        return PartialAnswer(one.slot, one.places[:known], item.completion[:agreed], one.best[agreed])

    def losses(self, slot: int) -> list[CompletionLoss]:
        """All losses of one adapter."""
        return [self._losses[slot][index] for index in range(len(self._encoded))]

    def outcomes(self, slot: int, seconds: dict[str, float]) -> AdapterOutcomes:
        """All losses and answers of one adapter."""
        answers = None
        if self._rule is not None:
            answers = [self._answers[slot][index] for index in range(len(self._encoded))]
        return AdapterOutcomes.of(self.losses(slot), answers, dict(seconds))


def _by_example(nats: torch.Tensor, best: torch.Tensor, counts: Sequence[int]) -> Iterator[tuple[float, list[int]]]:
    """Sum of the losses, and the most likely tokens, of each example.

    A GPU's numbers are read back in one copy per pass, because the host waits for the device at each.

    Args:
        nats: loss of each prediction, in fp32.
        best: most likely token of each.
        counts: number of predictions of each example.
    """
    if nats.device.type != "cpu":
        numbers = torch.cat([nats.view(torch.int32), best.to(torch.int32)]).cpu()  # the bits of each loss
        nats, best = numbers[: len(nats)].view(torch.float32), numbers[len(nats) :]
    sums = torch.stack([part.sum(dtype=torch.float64) for part in nats.split(list(counts))]).tolist()
    tokens, ends = best.tolist(), accumulate(counts)
    for total, count, end in zip(sums, counts, ends, strict=True):
        yield total, tokens[end - count : end]


def evaluation_batches(
    encoded: Sequence[Encoded], adapters: int, sizes: EvaluationSizes = ON_A_CPU, *, with_answers: bool
) -> Iterator[list[list[int]]]:
    """Example indices of each pass, grouped: with answers, the passes of a group share a key-value cache."""
    passes = pass_limits(encoded, sizes.tokens, sizes.predictions, adapters)
    groups = _group_limits(encoded, adapters, sizes, with_answers=with_answers)
    for group in in_batches(shortest_first(encoded), groups):
        yield list(in_batches(group, passes))


def _group_limits(
    encoded: Sequence[Encoded], adapters: int, sizes: EvaluationSizes, *, with_answers: bool
) -> list[PassLimit]:
    """The limits of a group of passes: of one pass without answers, else of what the cache holds."""
    if not with_answers:
        return pass_limits(encoded, sizes.tokens, sizes.predictions, adapters)
    return [PassLimit(sizes.cached // adapters, [len(item) for item in encoded])]
