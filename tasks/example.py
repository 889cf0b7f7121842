"""The records a task is made of: one example, a task's splits, and everything that is wrong with its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One row: the model sees `prompt` and learns to answer with `completion`.

    `label` is the class name where the task has classes, `kind` a free group name ("negation", "dosage") under which
    results can be reported apart.
    """

    prompt: str
    completion: str
    label: str | None = None
    kind: str | None = None

    @property
    def key(self) -> str:
        """Content identity: SHA-256, in hex, of prompt and completion."""
        return hashlib.sha256(json.dumps([self.prompt, self.completion]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RawSplits:
    """The splits as they were delivered, in file order, and what a reader should know about them."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits a study uses: it searches on `tune`, judges on `certify` and touches `test` once, at the end.

    `data_hash` is a SHA-256 in hex over every split's rows in order; it changes whenever a result could. `train_hash` is the same over
    the training split alone; it changes whenever a trained adapter could.
    """

    train: tuple[Example, ...]
    tune: tuple[Example, ...]
    certify: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...]
    data_hash: str
    train_hash: str


class DataProblems(Exception):
    """The data cannot be used; `problems` names everything that was found, where it is and what to do about it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} problems with the data:", *(f"  - {text}" for text in self.problems)])
