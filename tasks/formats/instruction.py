"""Instruction triples, as Alpaca's: `instruction`, `input`, `output`, and `system`. The input stands below the instruction."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.checks import Flaw
from tasks.example import Example
from tasks.formats.row_format import RowFormat, Values, are_texts, text_of


def _examples(values: Values) -> Sequence[Example] | Flaw:
    try:
        texts = {role: (text_of(values, role) or "").strip() for role in ("instruction", "input", "system")}
        output, label, kind = text_of(values, "output"), text_of(values, "label"), text_of(values, "kind")
    except TypeError as error:
        return Flaw(str(error))
    prompt = "\n\n".join(filter(None, (texts["instruction"], texts["input"])))
    history = (("system", texts["system"]),) if texts["system"] else ()
    return [Example(prompt, output or "", label, kind, history=history)]


FORMAT = RowFormat(
    "instructions",
    {
        "instruction": ("instruction",),
        "input": ("input", "context"),
        "output": ("output", "response", "completion", "answer"),
        "system": ("system", "system_prompt"),
        "label": ("label",),
        "kind": ("kind",),
    },
    ("instruction", "output"),
    are_texts,
    _examples,
)
