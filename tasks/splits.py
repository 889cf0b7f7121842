"""Divides the validation split into tune and certify."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from json.encoder import encode_basestring_ascii

from tasks.example import DataProblems, Example, LeftOut, RawSplits, Splits

# without the hyphen: "-5" and "5" are different
_LOOSE = re.compile(r"[\s.,;:!?'\"()\[\]{}`…‘’“”«»–—]+")

LEAST_ON_CERTIFY = 5
"""A verdict needs at least this many examples to estimate how losses vary between examples."""
SEEN_BEFORE = {"certify": ("train", "tune"), "test": ("train",)}
"""The splits whose prompts a split that judges must not have."""


def divide(raw: RawSplits, tune_fraction: float = 0.5) -> Splits:
    """Divides the validation split into tune and certify, both in file order, and leaves out of judging what was seen before.

    The side of a row depends on its group or, without one, on the opening of what is asked (`Example.opening`). So a row keeps its
    side when other rows are added or removed, groups stay together, and so do all rows that begin with the same message, unless it
    is a greeting. Groups of one's own, and chats that go on differently after a greeting, can put the same prompt on two sides:
    rows of certify that ask what train or tune has, and rows of test that ask what train has, are left out and counted. The verdict
    is never computed on a prompt that training or the search has used.

    Args:
        tune_fraction: expected share of validation rows in tune, between 0 and 1.

    Raises:
        ValueError: `tune_fraction` is not between 0 and 1.
        DataProblems: one side would be empty, or too few rows are left to judge by.
    """
    if not 0 < tune_fraction < 1:
        raise ValueError(f"tune_fraction must lie strictly between 0 and 1, not {tune_fraction}")
    tune: list[Example] = []
    certify: list[Example] = []
    for example in raw.validation:
        (tune if place(side_of(example), salt="tune") < tune_fraction else certify).append(example)
    if not tune or not certify:
        raise DataProblems([_one_sided(raw.validation, "certify" if tune else "tune", tune_fraction)])
    parts = {"train": raw.train, "tune": tuple(tune), "certify": tuple(certify), "test": raw.test}
    left_out: dict[str, LeftOut] = {}
    for split, earlier in SEEN_BEFORE.items():
        seen = {row.asked for name in earlier for row in parts[name]}
        unseen = tuple(row for row in parts[split] if row.asked not in seen)
        if len(unseen) < len(parts[split]):
            left_out[split] = LeftOut(len(parts[split]) - len(unseen), len(parts[split]))
        parts[split] = unseen
        assert seen.isdisjoint(row.asked for row in unseen)
    if problems := [problem for split, counts in left_out.items() for problem in too_few_unseen(split, *counts)]:
        raise DataProblems(problems)
    return Splits(
        train=raw.train,
        tune=parts["tune"],
        certify=parts["certify"],
        test=parts["test"],
        warnings=(
            *raw.warnings,
            *(left_out_in_words(split, *counts) for split, counts in left_out.items()),
            *_loose_repeat_warnings(parts),
        ),
        data_hash=_content_hash(parts),
        train_hash=_content_hash({"train": raw.train}),
        left_out=left_out,
        notes=raw.notes,
    )


def left_out_in_words(split: str, rows: int, of: int) -> str:
    """That rows of a split are left out, because a model has seen what they ask."""
    return (
        f"{split}: {rows} of {of} rows are left out of judging, because their prompt is in {' or '.join(SEEN_BEFORE[split])}, too; "
        f"that leaves {of - rows}"
    )


def too_few_unseen(split: str, rows: int, of: int) -> list[str]:
    """The problem that too few rows are left to judge by; empty if there are enough."""
    least = LEAST_ON_CERTIFY if split == "certify" else 1
    missing = least - (of - rows)
    if not rows or missing <= 0:
        return []
    source, needed = "validation" if split == "certify" else split, "1 is" if least == 1 else f"{least} are"
    return [
        f"{left_out_in_words(split, rows, of)}, and at least {needed} needed: {missing} missing. Add {source} rows with prompts that are "
        "not in train, or take the repeated ones out of train"
    ]


def with_replay(splits: Splits, passages: Sequence[str]) -> Splits:
    """The splits with general text that is mixed into training."""
    text = json.dumps(list(passages))
    hashes = [hashlib.sha256(f"{own} {text}".encode()).hexdigest() for own in (splits.data_hash, splits.train_hash)]
    return replace(splits, replay=tuple(passages), data_hash=hashes[0], train_hash=hashes[1])


def split_hash(examples: Sequence[Example]) -> str:
    """SHA-256 of the rows of one split in order, in hex; the same rows have the same hash in every split."""
    return _content_hash({"": tuple(examples)})


def side_of(example: Example) -> str:
    """The text that decides on which side of a divided split an example is: its group, or the opening of what it asks."""
    return example.opening if example.group is None else example.group


def place(text: str, *, salt: str) -> float:
    """A uniformly distributed number in [0, 1) that depends on `text` and `salt` only; independent between salts."""
    # as json.dumps([salt, text]), in a third of the time
    digest = hashlib.sha256(f"[{encode_basestring_ascii(salt)}, {encode_basestring_ascii(text)}]".encode()).digest()
    # a float holds 53 bits exactly, so the result never rounds up to 1
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def loose_repeats(a: Sequence[Example], b: Sequence[Example]) -> int:
    """Number of rows of `b` whose prompt differs from one in `a` only in case, white space or punctuation.

    Rows with exactly the same prompt do not count.
    """
    exact = {example.asked for example in a}
    loose = {_loosened(prompt) for prompt in exact}
    return sum(example.asked not in exact and _loosened(example.asked) in loose for example in b)


def _loosened(text: str) -> str:
    # text of punctuation only is kept, because all such texts would be equal
    return _LOOSE.sub(" ", text.casefold()).strip() or text


def _loose_repeat_warnings(parts: dict[str, tuple[Example, ...]]) -> tuple[str, ...]:
    counted = ((first, second, loose_repeats(parts[first], parts[second])) for first, second in combinations(parts, 2))
    return tuple(
        f"{second}: {count} of {len(parts[second])} prompts differ from one in {first} only in case, white space or "
        "punctuation; scores on them say little about unseen data"
        for first, second, count in counted
        if count
    )


def _content_hash(parts: dict[str, tuple[Example, ...]]) -> str:
    digest = hashlib.sha256()
    for name, examples in parts.items():
        digest.update(json.dumps([name, len(examples)]).encode() + b"\n")
        for row in examples:
            digest.update(json.dumps([row.asked, row.completion, row.label, row.kind]).encode() + b"\n")
    return digest.hexdigest()


def _one_sided(validation: Sequence[Example], empty: str, tune_fraction: float) -> str:
    prompts = len({example.prompt for example in validation})
    return (
        f"validation: the {empty} split would be empty: rows are divided by a hash of their prompt, and all "
        f"{len(validation)} rows ({prompts} different prompts) are on the other side with a tune fraction of "
        f"{tune_fraction}; add validation rows with different prompts, or move the fraction towards 0.5"
    )
