"""Classification: a text and its class, which is both label and completion."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.checks import Flaw
from tasks.example import Example
from tasks.formats.row_format import RowFormat, Values, are_texts, text_of


def _examples(values: Values) -> Sequence[Example] | Flaw:
    try:
        text, label, kind = text_of(values, "prompt"), text_of(values, "label"), text_of(values, "kind")
    except TypeError as error:
        return Flaw(str(error))
    return [Example(text or "", label or "", label, kind)]


FORMAT = RowFormat(
    "classification",
    {
        "prompt": ("text", "sentence", "prompt", "utterance", "review", "question", "query", "input", "content"),
        "label": ("label", "class", "category", "intent", "sentiment", "target", "labels"),
        "kind": ("kind",),
    },
    ("prompt", "label"),
    are_texts,
    _examples,
)
