"""What a task is. A file defines one as `TASK = Task(...)`; docs/tasks.md shows how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tasks.example import Example, RawSplits

Score = Callable[[str, Example], float]
"""Scores an answer to an example, from 0 to 1 (perfect)."""

Rows = Iterable[Example]

DEFAULT_METRIC = "exact_match"
DEFAULT_LENGTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The data of a task, and how answers are scored. Its name is that of its file, or of its entry point.

    `metric`, `max_length`, `system_prompt` and `limits` are the defaults of `task.*`.

    Attributes:
        load: returns train, validation and test, each an iterable of examples, or `RawSplits` as `tasks.jsonl.load` does. Every
            worker calls it, so it must return the same examples each time.
        metric: one of `tasks.metrics.METRICS`, `MODULE:FUNCTION`, or a function that is defined in the task's file.
        max_length: maximum tokens of prompt and completion together.
        system_prompt: None for that of the model's chat template.
        kinds: the kinds that examples may have; empty for any.
        limits: what results must not be used for; every page that shows the task shows it.
    """

    load: Callable[[], RawSplits | tuple[Rows, Rows, Rows]]
    metric: str | Score = DEFAULT_METRIC
    max_length: int = DEFAULT_LENGTH
    system_prompt: str | None = None
    kinds: tuple[str, ...] = ()
    limits: str | None = None
