"""Evaluation of any model through transformers: losses of completions, and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from sweep.training.adapters import has_virtual_tokens
from sweep.training.base_model import LoadedBase
from sweep.training.batches import IGNORED, PassLimit, pass_limits, run_in_batches, shortest_first
from sweep.training.encoding import Encoded
from sweep.training.losses_and_answers import AnswerRule, CompletionLoss, is_most_likely, most_likely
from sweep.training.quantization import evaluating
from sweep.training.virtual_tokens import as_tensor, decode

EVALUATION_TOKENS = 4096
"""Maximum of tokens per evaluation pass: efficient, with little memory."""

EVALUATION_LOGITS = 1024
"""Maximum of predictions per evaluation pass: with a large vocabulary, logits take most of the memory."""

CACHED_TOKENS = 8192
"""Maximum of tokens whose keys and values are kept while answers are decoded together."""

LOGITS_BYTES = 256 * 2**20
"""Logits in fp32 that are in memory at once; a cross-entropy over more is computed in chunks of predictions.

Logits, their log-softmax and the gradients of both take 16 to 20 bytes per prediction and word of the vocabulary: 2 MB per prediction
with 128,000 words. Below this size nothing is divided, so results and speed are those of one product.
"""


def predictions_at_once(vocabulary: int) -> int:
    """The number of predictions whose logits are in memory at once; at least one."""
    return max(1, LOGITS_BYTES // (4 * vocabulary))


def completion_losses(
    base: LoadedBase,
    model: Any,
    encoded: Sequence[Encoded],
    on_progress: Callable[[int], None] | None = None,
    first_tokens: Sequence[int] = (),
) -> list[CompletionLoss]:
    """The loss of each completion given its prompt, in the order of `encoded`.

    Args:
        model: the base itself or the base with an adapter.
        on_progress: receives the number of examples done.
        first_tokens: tokens whose probability directly after each prompt is wanted (`CompletionLoss.first`).
    """
    losses: dict[int, CompletionLoss] = {}
    collator = base.collator_for(model)

    def run(indices: Sequence[int]) -> None:
        batch = collator([encoded[index] for index in indices])
        labels = batch.pop("labels").to(base.device)
        inputs = {
            key: value.to(base.device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()
        }
        # (examples, columns, vocabulary), without virtual tokens
        logits = model(**inputs).logits[:, -labels.shape[1] :]
        # the logits of a column predict the label of the next column
        nats = _cross_entropy(logits[:, :-1], labels[:, 1:])  # (examples, columns - 1)
        is_best = (logits[:, :-1].argmax(dim=-1) == labels[:, 1:]) | (labels[:, 1:] == IGNORED)
        first: Sequence[Sequence[float]] = [()] * len(indices)
        if first_tokens:
            first = _first_log_probabilities(logits, labels, first_tokens)
        for row, index in enumerate(indices):
            losses[index] = CompletionLoss(
                float(nats[row].sum(dtype=torch.float64)),
                len(encoded[index].completion),
                bool(is_best[row].all()),
                tuple(first[row]),
            )
        if on_progress:
            on_progress(len(losses))

    with evaluating(model):
        run_in_batches(shortest_first(encoded), pass_limits(encoded, EVALUATION_TOKENS, EVALUATION_LOGITS), run)
    return [losses[index] for index in range(len(encoded))]


def _first_log_probabilities(
    logits: torch.Tensor, labels: torch.Tensor, tokens: Sequence[int]
) -> Sequence[Sequence[float]]:
    """Log-probabilities of tokens directly after each prompt, in fp32: (examples, tokens).

    Args:
        logits: shape (examples, columns, vocabulary).
        labels: shape (examples, columns); a completion begins at the first that is not `IGNORED`.
    """
    start = (labels[:, 1:] != IGNORED).int().argmax(dim=1)
    rows = logits[torch.arange(len(logits), device=logits.device), start].float()  # (examples, vocabulary)
    wanted = rows[:, torch.tensor(list(tokens), device=logits.device)] - rows.logsumexp(dim=-1, keepdim=True)
    listed: list[list[float]] = wanted.tolist()
    return listed


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of each label in nats, in fp32; 0 where it is `IGNORED`.

    Args:
        logits: shape (examples, columns, vocabulary).
        labels: shape (examples, columns).
    """
    at_once = predictions_at_once(logits.shape[-1])
    if labels.numel() > at_once:
        parts = zip(logits.flatten(0, 1).split(at_once), labels.flatten().split(at_once), strict=True)
        return torch.cat(
            [functional.cross_entropy(part.float(), own, ignore_index=IGNORED, reduction="none") for part, own in parts]
        ).view_as(labels)
    return functional.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")


def greedy_answers(
    base: LoadedBase,
    model: Any,
    encoded: Sequence[Encoded],
    max_new_tokens: int,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """The model's answers, decoded greedily with a key-value cache, in the order of `encoded`.

    An answer ends at one of `stop_tokens`, or after `max_new_tokens` tokens.
    """
    answers: dict[int, str] = {}
    stops = stop_tokens(base, model, encoded)
    virtual = has_virtual_tokens(model)

    def run(indices: Sequence[int]) -> None:
        batch = [encoded[index] for index in indices]
        if virtual:
            prompts = as_tensor([item.prompt for item in batch], base.device)
            new_tokens = decode(model, prompts, max_new_tokens, stops)
        else:
            new_tokens = _generated(base, model, batch, max_new_tokens, stops)
        for index, ids in zip(indices, new_tokens, strict=True):
            end = next((position for position, token in enumerate(ids) if token in stops), len(ids))
            answers[index] = as_text(base, ids[:end])
        if on_progress:
            on_progress(len(answers))

    # batches of similar answer length: a batch is decoded until its longest answer ends
    order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index].completion), len(encoded[index].prompt)))
    limits = [
        PassLimit(CACHED_TOKENS, [len(item.prompt) + max_new_tokens for item in encoded]),
        PassLimit(batch_size, [1] * len(encoded)),
    ]
    # with virtual tokens only prompts of one length together, without padding (see `RightPaddedCollator`)
    groups: dict[int, list[int]] = {}
    for index in order:
        groups.setdefault(len(encoded[index].prompt) if virtual else 0, []).append(index)
    with evaluating(model):
        for group in groups.values():
            run_in_batches(group, limits, run)
    return [answers[index] for index in range(len(encoded))]


def _generated(
    base: LoadedBase, model: Any, batch: Sequence[Encoded], max_new_tokens: int, stops: Sequence[int]
) -> list[list[int]]:
    """The tokens after each prompt, by transformers' `generate`."""
    inputs = {key: value.to(base.device) for key, value in base.collator.prompts(batch).items()}
    output = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        use_cache=True,
        eos_token_id=stops,
        pad_token_id=base.tokenizer.pad_token_id,
    )
    tokens: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
    return tokens


def as_text(base: LoadedBase, ids: Sequence[int]) -> str:
    """The text of an answer's tokens."""
    return str(base.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def stop_tokens(base: LoadedBase, model: Any, encoded: Sequence[Encoded]) -> list[int]:
    """Tokens that end an answer: those of the model, the tokenizer, and the completions."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    stops = {own} if isinstance(own, int) else set(own or ())
    stops.add(base.tokenizer.eos_token_id)
    stops.update(item.completion[-1] for item in encoded[:1] if item.completion)
    return sorted(token for token in stops if token is not None)


def plain_answers(
    base: LoadedBase,
    model: Any,
    encoded: Sequence[Encoded],
    losses: Sequence[CompletionLoss],
    rule: AnswerRule,
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """The model's answers, decoded or chosen from labels; skips the examples whose answer follows from their loss.

    Args:
        losses: `completion_losses` of the same examples.
    """
    known = {
        index: item.example.completion.strip()
        for index, (item, loss) in enumerate(zip(encoded, losses, strict=True))
        if is_known(item, loss, rule)
    }
    remaining = [index for index in range(len(encoded)) if index not in known]
    if on_progress:
        on_progress(len(known))
    examples = [encoded[index] for index in remaining]

    def report(count: int) -> None:
        if on_progress:
            on_progress(len(known) + count)

    if rule.labels:
        choose = _more_likely_labels if rule.kinds else _most_likely_labels
        answers = choose(base, model, examples, [losses[index] for index in remaining], rule)
        report(len(examples))
    else:
        answers = greedy_answers(base, model, examples, rule.max_new_tokens, on_progress=report)
    known.update(zip(remaining, answers, strict=True))
    return [known[index] for index in range(len(encoded))]


def is_known(item: Encoded, loss: CompletionLoss, rule: AnswerRule) -> bool:
    """Returns whether the loss shows that the answer is the expected completion."""
    if rule.labels:
        return is_most_likely(item, loss, rule.labels)
    return loss.is_greedy_answer and len(item.completion) <= rule.max_new_tokens


def _most_likely_labels(
    base: LoadedBase, model: Any, encoded: Sequence[Encoded], _: Sequence[CompletionLoss], rule: AnswerRule
) -> list[str]:
    alternatives = [replace(item, completion=label.ids) for item in encoded for label in rule.labels]
    losses = completion_losses(base, model, alternatives)
    count = len(rule.labels)
    return [
        most_likely(rule.labels, [loss.nats for loss in losses[start : start + count]])
        for start in range(0, len(losses), count)
    ]


def _more_likely_labels(
    base: LoadedBase, model: Any, encoded: Sequence[Encoded], known: Sequence[CompletionLoss], rule: AnswerRule
) -> list[str]:
    """The expected completions that are the most likely label of their kind, and for the others a label that is more likely.

    A label is at most as likely as its first token. So the label with the most likely first token is compared with the expected one
    before the others, and those only where they can still be more likely.

    Args:
        known: the losses of the expected completions, with the log-probabilities of the labels' first tokens.
    """
    answers = [item.example.completion.strip() for item in encoded]
    places = []
    for item, loss in zip(encoded, known, strict=True):
        kind = next(kind for label, kind in zip(rule.labels, rule.kinds, strict=True) if label.ids == item.completion)
        candidates = [
            (-log, label)
            for label, log in enumerate(loss.first)
            if -log < loss.nats and rule.kinds[label] == kind and rule.labels[label].ids != item.completion
        ]
        places.append([label for _, label in sorted(candidates)])
    for begin, end in ((0, 1), (1, len(rule.labels))):
        pairs = [(row, label) for row, own in enumerate(places) for label in own[begin:end]]
        tried = completion_losses(
            base, model, [replace(encoded[row], completion=rule.labels[label].ids) for row, label in pairs]
        )
        for (row, label), loss in zip(pairs, tried, strict=True):
            if loss.nats < known[row].nats:
                answers[row], places[row] = rule.labels[label].text, []
    return answers
