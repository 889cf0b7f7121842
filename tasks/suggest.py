"""Suggestions for misspelled or differently named keys."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_OTHER_NAMES = {
    "prompt": ("input", "question", "instruction", "text", "query", "source", "sentence", "context", "document"),
    "completion": ("response", "output", "answer", "target", "answers", "reply", "summary", "label", "labels"),
    "label": ("labels", "class", "category", "intent", "target"),
    "kind": ("type", "group", "category"),
    "train": ("training", "trn"),
    "validation": ("valid", "dev", "val", "validate", "eval", "evaluation"),
    "test": ("testing", "tst", "heldout", "holdout", "eval"),
}


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The most similar choice: by synonym first, then by spelling; None if there is none."""
    folded = {choice.casefold(): choice for choice in choices}
    synonyms = [other for other in (name.casefold(), *_OTHER_NAMES.get(name, ())) if other in folded]
    matches = synonyms or get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """` (did you mean "X"?)`, or an empty string without a similar choice."""
    choice = closest(name, choices)
    return f' (did you mean "{choice}"?)' if choice else ""
