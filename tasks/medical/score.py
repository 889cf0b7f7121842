"""Scores answers by what a reader of the note needs: each kind of question has its own parts."""

from __future__ import annotations

import math

from tasks.example import Example
from tasks.metrics import normalise, set_f1, token_f1


def note_score(answer: str, example: Example) -> float:
    """The score of an answer, from 0 to 1.

    A `summary` is compared field by field, a `differential` place by place; other kinds are sets of items (`set_f1`), so an
    observation counts if name, value and flag are right.
    """
    if example.kind == "summary":
        return _by_field(answer, example.completion)
    if example.kind == "differential":
        return _by_place(answer, example.completion)
    return set_f1(answer, example.completion)


def _by_field(answer: str, expected: str) -> float:
    """The mean F1 of words (`token_f1`) of fields in the same place; missing and additional fields count as 0."""
    ours, wanted = _parts(answer, ";"), _parts(expected, ";")
    scores = [token_f1(one, other) for one, other in zip(ours, wanted, strict=False)]
    return math.fsum(scores) / max(len(ours), len(wanted))


def _by_place(answer: str, expected: str) -> float:
    """A diagnosis counts in its place only: half for its name, half for the F1 of the features that support it.

    The last place has weight 1, the one before it 2, and so on: who reads the first diagnosis alone must find the likeliest there.
    """
    ours, wanted = _parts(answer, ";"), _parts(expected, ";")
    weights = range(len(wanted), 0, -1)
    score = 0.0
    for weight, one, other in zip(weights, ours, wanted, strict=False):
        (name, _, features), (right, _, support) = one.partition(":"), other.partition(":")
        if normalise(name) == normalise(right):
            score += weight * (1 + set_f1(features.replace(",", ";"), support.replace(",", ";"))) / 2
    return score / sum(weights)


def _parts(text: str, separator: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(separator)) if part]
