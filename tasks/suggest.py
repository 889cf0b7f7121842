"""Guesses at what a misspelt or differently named key was meant to be."""

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
    """The choice that `name` most likely stands for: by a usual other name first, else by spelling."""
    folded = {choice.casefold(): choice for choice in choices}
    usual = [other for other in (name.casefold(), *_OTHER_NAMES.get(name, ())) if other in folded]
    found = usual or get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """` (did you mean "X"?)`, or nothing where no choice comes near."""
    found = closest(name, choices)
    return f' (did you mean "{found}"?)' if found else ""
