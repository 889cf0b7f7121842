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
_SHOWN = 40


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

    def mistakes(self) -> list[str]:
        """What is given with a type that it must not have; empty if all is well."""
        faults = []
        if not callable(self.load):
            faults.append(
                f"load must be a function that returns the examples, not {_said(self.load)}; write load=load, without brackets"
            )
        if not isinstance(self.metric, str) and not callable(self.metric):
            faults.append(f"metric must be a name or a function, not {_said(self.metric)}")
        if not isinstance(self.max_length, int) or isinstance(self.max_length, bool):
            faults.append(f"max_length must be a whole number of tokens, not {_said(self.max_length)}")
        for name, value in (("system_prompt", self.system_prompt), ("limits", self.limits)):
            if value is not None and not isinstance(value, str):
                faults.append(f"{name} must be text, not {_said(value)}")
        if isinstance(self.kinds, str) or not all(isinstance(kind, str) for kind in self.kinds):
            faults.append(f"kinds must be a tuple of texts, not {_said(self.kinds)}")
        return faults


def _said(value: object) -> str:
    text = repr(value)
    return f"{text[:_SHOWN]}..." if len(text) > _SHOWN else text
