"""The records of a task: examples, splits, and the problems of its data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.printable import printable

_GREETINGS = """
hi hello hey hiya howdy greetings good morning afternoon evening day there all everyone team hallo guten tag morgen abend moin servus
bonjour bonsoir salut hola buenos buenas dias días tardes noches ciao buongiorno olá oi привет здравствуйте 你好 您好 こんにちは
"""
"""Words of greetings. Many chats begin with the same greeting, which says nothing about what they are about; any other first message
identifies a chat, however short, so that it is on one side whether or not the chat goes on."""


def opening_of(messages: Sequence[str]) -> str:
    """What identifies a chat: the user's messages up to the first one that is more than a greeting, joined."""
    more = next((place for place, text in enumerate(messages) if not _is_greeting(text)), len(messages))
    return "\n\n".join(messages[: more + 1])


def _is_greeting(text: str) -> bool:
    return set(_GREETINGS.split()).issuperset(re.findall(r"\w+", text.casefold()))


@dataclass(frozen=True, slots=True)
class Example:
    """One row: the model learns to answer `prompt` with `completion`.

    Attributes:
        label: class name, for classification tasks.
        kind: name of a group ("negation", "dosage") for which results are also reported separately.
        history: the earlier messages of a chat, each its role (system, user or assistant) and its text. A system message there
            replaces that of the task.
        group: examples of one group stay on one side when a split is divided; None for that of its `opening`.
    """

    prompt: str
    completion: str
    label: str | None = None
    kind: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    group: str | None = None

    @property
    def asked(self) -> str:
        """All that the model is given, as one text: the prompt, after the earlier messages of a chat."""
        return json.dumps([*self.history, self.prompt]) if self.history else self.prompt

    @property
    def opening(self) -> str:
        """What identifies the chat that a row is of, as far as it is given; a prompt without earlier messages is its own."""
        return opening_of([*(text for role, text in self.history if role == "user"), self.prompt])

    def as_row(self) -> dict[str, object]:
        """The fields by name, as a row of a file has them."""
        return {"prompt": self.prompt, "completion": self.completion, "label": self.label, "kind": self.kind}

    @property
    def key(self) -> str:
        """Content identity: SHA-256 of what is asked and the completion, in hex."""
        return hashlib.sha256(json.dumps([self.asked, self.completion]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RawSplits:
    """The splits as loaded, in file order, how they were understood (`notes`), and warnings about them."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class LeftOut(NamedTuple):
    """How many rows of a split are left out of judging, and how many it had."""

    rows: int
    of: int


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of a study: the search uses `tune`, the verdict `certify`, and the final evaluation `test`.

    Nothing that is asked in `certify` is asked in `train` or `tune`, and nothing in `test` is in `train`.

    Attributes:
        data_hash: SHA-256 of the rows of all splits in order, in hex.
        train_hash: SHA-256 of the rows of `train` in order, in hex; part of an adapter's identity.
        left_out: rows of `certify` and `test` that were left out for that, by split, if there were any.
        replay: general text that is mixed into training, a passage each; both hashes cover it.
    """

    train: tuple[Example, ...]
    tune: tuple[Example, ...]
    certify: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...]
    data_hash: str
    train_hash: str
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    replay: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class DataProblems(Exception):
    """The data cannot be used; `problems` lists each problem, its location and how to fix it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(map(printable, problems))
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} problems with the data:", *(f"  - {text}" for text in self.problems)])
