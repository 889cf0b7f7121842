"""The records of a task: examples, splits, and the problems of its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.printable import printable


@dataclass(frozen=True, slots=True)
class Example:
    """One row: the model learns to answer `prompt` with `completion`.

    Attributes:
        label: class name, for classification tasks.
        kind: name of a group ("negation", "dosage") for which results are also reported separately.
        history: the earlier messages of a chat, each its role (system, user or assistant) and its text. A system message there
            replaces that of the task.
        group: examples of one group stay on one side when a split is divided; None for a group of its own.
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


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of a study: the search uses `tune`, the verdict `certify`, and the final evaluation `test`.

    Attributes:
        data_hash: SHA-256 of the rows of all splits in order, in hex.
        train_hash: SHA-256 of the rows of `train` in order, in hex; part of an adapter's identity.
        replay: general text that is mixed into training, a passage each; both hashes cover it.
    """

    train: tuple[Example, ...]
    tune: tuple[Example, ...]
    certify: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...]
    data_hash: str
    train_hash: str
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
