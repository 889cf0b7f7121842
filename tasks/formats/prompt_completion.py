"""Prompt and completion: TRL's "prompt-completion" in its standard form. Also question and answer, source and target, and the like."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.example import Example
from tasks.formats.row_format import RowFormat, Values, are_texts, text_of
from tasks.readings import Flaw


def _examples(values: Values) -> Sequence[Example] | Flaw:
    try:
        prompt, completion = text_of(values, "prompt"), text_of(values, "completion")
        label, kind, system = text_of(values, "label"), text_of(values, "kind"), text_of(values, "system")
    except TypeError as error:
        return Flaw(str(error))
    history = (("system", system),) if system and system.strip() else ()
    return [Example(prompt or "", completion or "", label, kind, history=history)]


FORMAT = RowFormat(
    "prompt and completion",
    {
        "prompt": ("prompt", "question", "query", "input", "instruction", "source", "text", "document", "article"),
        "completion": ("completion", "answer", "response", "output", "target", "reply", "summary"),
        "label": ("label",),
        "kind": ("kind",),
        "system": ("system_prompt", "system"),
    },
    ("prompt", "completion"),
    are_texts,
    _examples,
)
