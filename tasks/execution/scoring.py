"""From an answer and its checks to a score."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence

from tasks.execution.checks import Check, canonical
from tasks.execution.program import Program
from tasks.execution.sandbox import sandbox_of

_FENCED = re.compile(r"```[a-zA-Z]*\n(.*?)(?:```|\Z)", re.DOTALL)


def score(answer: str, checks: Sequence[Check], program: Program) -> float:
    """The share of checks that hold after the answer's code has run: 0 if it is not valid Python, or fails.

    The code is that of the first fenced block, if there is one. The process that runs it is given the expressions only after it has
    run, and never the expected values, so that no trick there can make a check hold: what it reports is compared here.

    Raises:
        ValueError: there are no checks.
        DataProblems: this machine has no walls, or the program's setup fails.
    """
    held = outcomes(answer, tuple(checks), program)
    if not held:
        raise ValueError("an answer without checks has no score")
    return sum(held) / len(held)


@functools.lru_cache(maxsize=4096)  # an answer is scored for its example, for its kind and for all
def outcomes(answer: str, checks: tuple[Check, ...], program: Program) -> tuple[bool, ...]:
    """Whether each check holds, as `score`.

    Raises:
        DataProblems: as `score`.
    """
    if not checks:
        return ()
    code = code_of(answer)
    if not code.strip():
        return (False,) * len(checks)
    said = sandbox_of(program).run(code, [check.run for check in checks])
    said += [""] * (len(checks) - len(said))
    return tuple(_rewritten(text) == check.outcome for text, check in zip(said, checks, strict=True))


def code_of(answer: str) -> str:
    """The code in an answer: its first fenced block, or all of it."""
    found = _FENCED.search(answer)
    return found[1] if found else answer


def _rewritten(text: str) -> str | None:
    """What a child said, in the one way of writing JSON; None if it is none."""
    try:
        return canonical(json.loads(text))
    except (ValueError, RecursionError):
        return None
