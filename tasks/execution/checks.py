"""What the code of an answer must do: expressions, and the values that they must have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.example import DataProblems

KEY_DIGITS = 16
"""How many digits of an example's key name it in a file."""


@dataclass(frozen=True, slots=True)
class Check:
    """An assertion about the code of an answer.

    Attributes:
        run: an expression, evaluated where the answer's names are.
        outcome: the expected outcome, as `canonical` writes it: a value, or the name of an exception.
    """

    run: str
    outcome: str

    @classmethod
    def gives(cls, run: str, value: object) -> Check:
        """The expression has this value. Compared as JSON: tuples are lists, 1 is neither 1.0 nor true."""
        return cls(run, canonical({"gives": value}))

    @classmethod
    def raises(cls, run: str, error: str) -> Check:
        """The expression raises an exception of this class, given by its name."""
        return cls(run, canonical({"raises": error}))

    @property
    def row(self) -> dict[str, object]:
        """The check as files have it."""
        return {"run": self.run, **json.loads(self.outcome)}


def canonical(value: object) -> str:
    """JSON in one way of writing it, so that equal texts are equal values.

    Raises:
        ValueError: the value has no JSON.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False)


def write_checks(file: Path, checks: Mapping[str, Sequence[Check]]) -> None:
    """Writes the checks of examples, given by `Example.key`: one example on a line."""
    lines = (
        json.dumps({"key": key[:KEY_DIGITS], "checks": [check.row for check in own]}) for key, own in checks.items()
    )
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_checks(file: Path) -> dict[str, tuple[Check, ...]]:
    """The checks of a file by the first `KEY_DIGITS` digits of the example's key.

    Each line is `{"key": "...", "checks": [{"run": "add(1, 2)", "gives": 3}, {"run": "add(None)", "raises": "TypeError"}]}`.

    Raises:
        DataProblems: lists each line that is none.
    """
    found: dict[str, tuple[Check, ...]] = {}
    problems: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            found[str(row["key"])[:KEY_DIGITS]] = tuple(_check(each) for each in row["checks"])
        except (ValueError, KeyError, TypeError, SyntaxError) as error:
            problems.append(
                f'{file}:{number}: not {{"key": ..., "checks": [{{"run": ..., "gives": ...}}]}} ({type(error).__name__}: {error})'
            )
    if problems:
        raise DataProblems(problems)
    return found


def _check(row: Mapping[str, Any]) -> Check:
    run = row["run"]
    compile(run, "<check>", "eval")
    return Check.raises(run, row["raises"]) if "raises" in row else Check.gives(run, row["gives"])
