"""Lengths in tokens, and examples as the model is given them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.commands.data_report.sample import Sample, Sampled
from sweep.reports.data_report.profile import PARTS, Lengths, Rendered
from tasks import Example, sensitive
from tasks.printable import printable

RENDERED = 3
_WORD = re.compile(r"\S+")
_STEP = 200


@dataclass(frozen=True, slots=True)
class Reader:
    """How a model reads examples.

    Attributes:
        encoder: of `sweep.training.encoding`.
        tokenizer: of transformers.
        context: maximum tokens of the model.
    """

    encoder: Any
    tokenizer: Any
    context: int


def lengths_of(
    sample: Sample,
    place: Callable[[int, int], str],
    reader: Reader | None,
    advance: Callable[[float], None] = lambda share: None,
) -> Lengths | None:
    """The lengths of the examples in a sample, in words without a reader; None without examples."""
    examples, longest = sample.examples(), sample.longest()
    if not examples:
        return None
    sizes = np.zeros((len(examples), 2), dtype=np.int64)
    for number, sampled in enumerate(examples):
        sizes[number] = _sizes(sampled.example, reader)
        if number % _STEP == 0:
            advance(number / len(examples))
    whole, parts = sizes.sum(axis=1), np.array([sampled.part for sampled in examples])
    named = ((place(each.source, each.number), sum(_sizes(each.example, reader))) for each in longest)
    return Lengths(
        "tokens" if reader else "words",
        np.sort(whole),
        np.sort(sizes[:, 1]),
        {name: np.sort(whole[parts == part]) for part, name in enumerate(PARTS)},
        sampled=not sample.is_whole,
        longest=tuple(sorted(named, key=lambda pair: -pair[1])),
    )


def _sizes(example: Example, reader: Reader | None) -> tuple[int, int]:
    """Length of what is given, and of the answer."""
    if reader is None:
        given = " ".join([*(text for _, text in example.history), example.prompt])
        return len(_WORD.findall(given)), len(_WORD.findall(example.completion))
    encoded = reader.encoder.encode(example)
    return len(encoded.prompt), len(encoded.completion)


def rendered(
    sample: Sample, place: Callable[[int, int], str], reader: Reader | None, max_length: int, too_long: str
) -> Iterator[Rendered]:
    """A few examples of different parts and lengths, as the model is given them; those without sensitive text are preferred."""
    for sampled in _chosen(sample.examples()):
        where, part = place(sampled.source, sampled.number), PARTS[sampled.part]
        example = sampled.example
        if reader is None:
            given = "\n\n".join([*(text for _, text in example.history), example.prompt])
            yield Rendered(
                where, part, printable(sensitive.masked(given)), printable(sensitive.masked(example.completion))
            )
            continue
        split = reader.encoder.encode_split([example], min(max_length, reader.context), too_long)
        encoded = split.examples[0] if split.examples else reader.encoder.encode(example)
        note = (
            "too long: left out" if split.too_long else "too long: its prompt is shortened" if split.shortened else ""
        )
        prompt, answer = (
            printable(sensitive.masked(_text(reader, ids))) for ids in (encoded.prompt, encoded.completion)
        )
        yield Rendered(where, part, prompt, answer, len(encoded), len(encoded.completion), note)


def _chosen(examples: Sequence[Sampled]) -> Sequence[Sampled]:
    """Of train if there are enough: one of median length, one short and one long."""
    train = [sampled for sampled in examples if sampled.part == 0] or list(examples)
    ordered = sorted(
        train, key=lambda sampled: (len(sampled.example.asked) + len(sampled.example.completion), sampled.order)
    )
    clean = [
        sampled for sampled in ordered if not sensitive.has_any(f"{sampled.example.asked} {sampled.example.completion}")
    ]
    candidates = clean if len(clean) >= RENDERED else ordered
    places = dict.fromkeys(int(share * (len(candidates) - 1)) for share in (0.5, 0.05, 0.95))
    return [candidates[place] for place in places]


def _text(reader: Reader, ids: Sequence[int]) -> str:
    """The text of tokens, special ones included."""
    return str(reader.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
