"""Classification: a text and its class, which is both label and completion."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.example import Example
from tasks.formats.row_format import RowFormat, Values, are_texts, text_of
from tasks.readings import Flaw


def _examples(values: Values) -> Sequence[Example] | Flaw:
    try:
        text, label, kind = text_of(values, "prompt"), text_of(values, "label"), text_of(values, "kind")
    except TypeError as error:
        return Flaw(str(error))
    # spaces around a class would make another class of it
    name = (label or "").strip()
    return [Example(text or "", name, name, kind)]


FORMAT = RowFormat(
    "classification",
    {
        "prompt": (
            "text",
            "sentence",
            "prompt",
            "utterance",
            "review",
            "question",
            "query",
            "input",
            "content",
            "tweet",
            "comment",
            "message",
            "headline",
        ),
        "label": (
            "label",
            "class",
            "category",
            "intent",
            "sentiment",
            "target",
            "labels",
            "rating",
            "stars",
            "topic",
            "emotion",
        ),
        "kind": ("kind",),
    },
    ("prompt", "label"),
    are_texts,
    _examples,
)
