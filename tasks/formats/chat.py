"""Chats: TRL's conversational forms (`messages`; `prompt` and `completion` as messages), and ShareGPT's (`conversations`).

A row with k turns of the assistant becomes k examples: everything before a turn is what the model is given, the turn is what it
learns. The model's own chat template renders the turns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tasks.checks import Flaw
from tasks.example import Example
from tasks.formats.row_format import RowFormat, Values

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
    "model": "assistant",
}


class _Unusable(Exception):
    """Says what is wrong with a chat."""


def _turns(value: object, role: str) -> list[tuple[str, str, bool]]:
    """Role, text, and whether the turn is trained; turns of one role in a row are one turn.

    Raises:
        _Unusable: it is no list of messages.
    """
    if isinstance(value, str):  # in a cell of a table
        try:
            value = json.loads(value)
        except ValueError as error:
            raise _Unusable(f'"{role}" is text that is no JSON list of messages: {error}') from error
    if not isinstance(value, list) or not value:
        raise _Unusable(f'"{role}" must be a list of messages with role and content (or from and value)')
    turns: list[tuple[str, str, bool]] = []
    for number, message in enumerate(value, start=1):
        said, text, trained = _message(message, f'"{role}", message {number}')
        if turns and turns[-1][0] == said:
            turns[-1] = (said, f"{turns[-1][1]}\n\n{text}", trained and turns[-1][2])
        else:
            turns.append((said, text, trained))
    return turns


def _message(message: object, where: str) -> tuple[str, str, bool]:
    if not isinstance(message, dict):
        raise _Unusable(f"{where}: must be an object with role and content (or from and value)")
    role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
    if _ROLES.get(str(role).casefold()) is None:
        raise _Unusable(f'{where}: the role is "{role}"; known: {", ".join(_ROLES)}. Leave out chats with tools')
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "\n".join(part for part in parts if isinstance(part, str)) if all(parts) else None
    if not isinstance(content, str) or not content.strip():
        raise _Unusable(f"{where}: has no text")
    return _ROLES[str(role).casefold()], content, message.get("weight", 1) != 0


def _of_turns(turns: Sequence[tuple[str, str, bool]], first: int, kind: object) -> list[Example]:
    """An example for each trained turn of the assistant from index `first` on that follows a user's."""
    opening = next((text for role, text, _ in turns if role == "user"), None)
    several = sum(role == "assistant" for role, _, _ in turns) > 1
    return [
        Example(
            prompt=turns[place - 1][1],
            completion=text,
            kind=kind if isinstance(kind, str) else None,
            history=tuple((said, words) for said, words, _ in turns[: place - 1]),
            group=opening if several else None,
        )
        for place, (role, text, trained) in enumerate(turns)
        if role == "assistant" and trained and place >= max(first, 1) and turns[place - 1][0] == "user"
    ]


def _from_list(role: str, values: Values) -> Sequence[Example] | Flaw:
    try:
        examples = _of_turns(_turns(values.get(role), role), 0, values.get("kind"))
    except _Unusable as error:
        return Flaw(str(error))
    return examples or Flaw(f'"{role}": no turn of the assistant follows one of the user')


def _from_pair(values: Values) -> Sequence[Example] | Flaw:
    try:
        before, after = _turns(values.get("prompt"), "prompt"), _turns(values.get("completion"), "completion")
    except _Unusable as error:
        return Flaw(str(error))
    if after[0][0] == "assistant" and before[-1][0] != "user":
        return Flaw('"prompt" must end with a message of the user')
    return _of_turns([*before, *after], len(before), values.get("kind")) or Flaw(
        '"completion": no turn of the assistant'
    )


def _is_chat(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def _list_format(title: str, role: str, usual: tuple[str, ...]) -> RowFormat:
    return RowFormat(
        title,
        {role: usual, "kind": ("kind",)},
        (role,),
        lambda values: _is_chat(values.get(role)),
        lambda values: _from_list(role, values),
    )


MESSAGES = _list_format("chats", "messages", ("messages", "chat", "dialog", "dialogue"))
CONVERSATIONS = _list_format("chats", "conversations", ("conversations", "conversation"))
PROMPT_COMPLETION = RowFormat(
    "chats in two parts",
    {"prompt": ("prompt",), "completion": ("completion",), "kind": ("kind",)},
    ("prompt", "completion"),
    lambda values: isinstance(values.get("prompt"), list) and isinstance(values.get("completion"), list),
    _from_pair,
)
