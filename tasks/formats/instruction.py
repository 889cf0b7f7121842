"""Instruction triples, as Alpaca's: `instruction`, `input`, `output`, `system` and `history`. The input stands below the instruction.

`history` is a list of earlier turns, `[instruction, output]` each, as in LLaMA-Factory; its answers are learned as those of chats are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.example import Example
from tasks.formats.chat import Turn, examples_of_turns
from tasks.formats.row_format import RowFormat, Values, are_texts, text_of
from tasks.readings import Flaw


def _examples(values: Values) -> Sequence[Example] | Flaw:
    try:
        texts = {role: (text_of(values, role) or "").strip() for role in ("instruction", "input", "system")}
        output, label, kind = text_of(values, "output"), text_of(values, "label"), text_of(values, "kind")
        earlier = _turns(values.get("history"))
    except TypeError as error:
        return Flaw(str(error))
    prompt = "\n\n".join(filter(None, (texts["instruction"], texts["input"])))
    if earlier and prompt and (output or "").strip():
        system = [Turn("system", texts["system"])] if texts["system"] else []
        return examples_of_turns([*system, *earlier, Turn("user", prompt), Turn("assistant", output or "")], kind)
    history = (("system", texts["system"]),) if texts["system"] else ()
    return [Example(prompt, output or "", label, kind, history=history)]


def _turns(history: object) -> list[Turn]:
    """The turns of a history.

    Raises:
        TypeError: it is not a list of pairs.
    """
    if history is None or history == "":
        return []
    pairs: list[Any] = history if isinstance(history, list) else [history]
    if not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair)
        for pair in pairs
    ):
        raise TypeError('"history" must be a list of earlier turns, ["instruction", "output"] each')
    return [turn for asked, answered in pairs for turn in (Turn("user", asked), Turn("assistant", answered))]


FORMAT = RowFormat(
    "instructions",
    {
        "instruction": ("instruction",),
        "input": ("input", "context"),
        "output": ("output", "response", "completion", "answer"),
        "system": ("system", "system_prompt"),
        "history": ("history",),
        "label": ("label",),
        "kind": ("kind",),
    },
    ("instruction", "output"),
    lambda values: are_texts({role: value for role, value in values.items() if role != "history"}),
    _examples,
)
