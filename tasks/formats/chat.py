"""Chats: TRL's conversational forms (`messages`; `prompt` and `completion` as messages), and ShareGPT's (`conversations`).

A row with k turns of the assistant becomes k examples: everything before a turn is what the model is given, the turn is what it
learns. The model's own chat template renders the turns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.example import Example, opening_of
from tasks.formats.row_format import RowFormat, Values, text_of
from tasks.readings import Flaw

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "model": "assistant",
}
_LEAVE_OUT = "; leave the chat out"
_LIST = re.compile(r"\s*\[\s*[{\]]")
"""A list of objects, or an empty one, as JSON in a cell of a table."""
_ROLE_AND_CONTENT, _FROM_AND_VALUE = (
    tuple(re.compile(rf"""["']{key}["']\s*:""") for key in keys) for keys in (("role", "content"), ("from", "value"))
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says, and whether it is learned."""

    role: str
    text: str
    trained: bool = True


class _Unusable(Exception):
    """Says what is wrong with a chat."""


def _turns(value: object, role: str, speaker: str | None = None) -> list[Turn]:
    """The turns of a list of messages; turns of one role in a row are one turn.

    Args:
        role: what the list is, for problems.
        speaker: who says a value that is plain text; None if it must be a list.

    Raises:
        _Unusable: it is no list of messages.
    """
    if speaker is not None and isinstance(value, str) and not _holds_messages(value):
        return [Turn(speaker, value)]
    if isinstance(value, str):  # in a cell of a table
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _Unusable(f'"{role}" is text that is no JSON list of messages: {error}') from error
    if not isinstance(value, list) or not value:
        raise _Unusable(f'"{role}" must be a list of messages with role and content (or from and value)')
    turns: list[Turn] = []
    for number, message in enumerate(value, start=1):
        turn = _turn(message, f'"{role}", message {number}')
        if turn is None:
            continue
        if turns and turns[-1].role == turn.role:
            last = turns[-1]
            turns[-1] = Turn(turn.role, f"{last.text}\n\n{turn.text}", turn.trained and last.trained)
        else:
            turns.append(turn)
    return turns


def _turn(message: object, where: str) -> Turn | None:
    """A message; None for a system message without text, which says nothing."""
    if not isinstance(message, dict):
        raise _Unusable(f"{where}: must be an object with role and content (or from and value)")
    said, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
    if said is None:
        raise _Unusable(f"{where}: says no role (or from); its keys are {', '.join(map(str, message)) or 'none'}")
    role = _ROLES.get(str(said).strip().casefold())
    if role is None:
        raise _Unusable(f'{where}: the role is "{said}"; known: {", ".join(_ROLES)}. Leave out chats with tools')
    if message.get("tool_calls") or message.get("function_call"):
        raise _Unusable(f"{where}: calls a tool, which is not learned. Leave out chats with tools")
    if isinstance(content, list):
        content = _joined(content, where)
    if role == "system" and (content is None or (isinstance(content, str) and not content.strip())):
        return None
    if content is not None and not isinstance(content, str):
        raise _Unusable(f"{where}: content must be text or a list of parts with text{_LEAVE_OUT}")
    if content is None and not {"content", "value"} & message.keys():
        raise _Unusable(f'{where}: has no "content" (or value); its keys are {", ".join(map(str, message))}')
    if not content or not content.strip():
        raise _Unusable(f"{where}: has no text{_LEAVE_OUT}")
    return Turn(role, content, message.get("weight", 1) != 0)


def _joined(parts: Sequence[object], where: str) -> str:
    """The text of a content in parts."""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    for part, text in zip(parts, texts, strict=True):
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise _Unusable(f'{where}: has a part without text ("{kind}"); only text is read{_LEAVE_OUT}')
    return "\n".join(text for text in texts if isinstance(text, str))


def examples_of_turns(turns: Sequence[Turn], kind: str | None, first: int = 0) -> list[Example]:
    """An example for each trained turn of the assistant from index `first` on that follows a user's.

    A system message after the first turns is given with the one at the beginning: templates have one place for it. The group of
    several is the chat's opening; a single example has none, because its own opening is the same.
    """
    several = sum(turn.role == "assistant" for turn in turns) > 1
    return [
        Example(
            prompt=turns[place - 1].text,
            completion=turn.text,
            kind=kind,
            history=_history(turns[: place - 1]),
            group=opening_of([turn.text for turn in turns if turn.role == "user"]) if several else None,
        )
        for place, turn in enumerate(turns)
        if turn.role == "assistant" and turn.trained and place >= max(first, 1) and turns[place - 1].role == "user"
    ]


def _history(turns: Sequence[Turn]) -> tuple[tuple[str, str], ...]:
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    said = [(turn.role, turn.text) for turn in turns if turn.role != "system"]
    return ((("system", system),) if system else ()) + tuple(said)


def _from_list(role: str, values: Values) -> Sequence[Example] | Flaw:
    try:
        turns = _with_system(_turns(values.get(role), role), values)
        kind = text_of(values, "kind")
    except (_Unusable, TypeError) as error:
        return Flaw(str(error))
    return examples_of_turns(turns, kind) or Flaw(f'"{role}": {_nothing_learned(turns)}{_LEAVE_OUT}')


def _with_system(turns: list[Turn], values: Values) -> list[Turn]:
    """The turns after the system message that a row has beside them, unless they have one of their own."""
    system = text_of(values, "system")
    if not system or not system.strip() or any(turn.role == "system" for turn in turns):
        return turns
    return [Turn("system", system), *turns]


def _nothing_learned(turns: Sequence[Turn]) -> str:
    if any(turn.role == "assistant" for turn in turns) and not any(
        turn.trained for turn in turns if turn.role == "assistant"
    ):
        return "all turns of the assistant have the weight 0, so nothing is learned"
    return f"no turn of the assistant follows one of the user (the turns: {', '.join(turn.role for turn in turns) or 'none'})"


def _from_pair(values: Values) -> Sequence[Example] | Flaw:
    try:
        before = _turns(values.get("prompt"), "prompt", "user")
        after = _turns(values.get("completion"), "completion", "assistant")
        whole = _with_system([*before, *after], values)
        kind = text_of(values, "kind")
    except (_Unusable, TypeError) as error:
        return Flaw(str(error))
    if not before or (after and after[0].role == "assistant" and before[-1].role != "user"):
        return Flaw('"prompt" must end with a message of the user')
    first = len(whole) - len(after)
    return examples_of_turns(whole, kind, first) or Flaw('"completion": no turn of the assistant')


def _is_chat(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and _LIST.match(value) is not None)


def _holds_messages(value: object) -> bool:
    """Whether a value that may also be plain text is a list of messages."""
    if isinstance(value, str):  # in a cell of a table
        return _LIST.match(value) is not None and any(
            all(key.search(value) for key in keys) for keys in (_ROLE_AND_CONTENT, _FROM_AND_VALUE)
        )
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _list_format(title: str, role: str, usual: tuple[str, ...]) -> RowFormat:
    return RowFormat(
        title,
        {role: usual, "kind": ("kind",), "system": ("system", "system_prompt")},
        (role,),
        lambda values: _is_chat(values.get(role)),
        lambda values: _from_list(role, values),
    )


MESSAGES = _list_format("chats", "messages", ("messages", "chat", "dialog", "dialogue"))
CONVERSATIONS = _list_format("chats", "conversations", ("conversations", "conversation"))
PROMPT_COMPLETION = RowFormat(
    "chats in two parts",
    {
        "prompt": ("prompt",),
        "completion": ("completion",),
        "kind": ("kind",),
        "system": ("system", "system_prompt"),
    },
    ("prompt", "completion"),
    lambda values: _holds_messages(values.get("prompt")) or _holds_messages(values.get("completion")),
    _from_pair,
)
