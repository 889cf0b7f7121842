"""What a running study reports to a person; `sweep.reports.progress` shows it."""

from __future__ import annotations

from typing import Protocol

from sweep.records import StudyPlan, StudyRecord, TrialResult, TrialSpec
from sweep.workers.messages import Progress


class Display(Protocol):
    """Notified of events in the order in which they happen."""

    def note(self, text: str) -> None:
        """Shows a line, for example a warning."""
        ...

    def waiting(self, text: str) -> None:
        """Something that takes a while has begun, for example loading the model."""
        ...

    def study(self, plan: StudyPlan, record: StudyRecord) -> None:
        """The model is loaded and the study's stages begin, or resume from the record."""
        ...

    def planned(self, trials: int, done: int, cuts: int = 0, cuts_done: int = 0) -> None:
        """A stage begins: its number of trainings in total, and how many of them are done.

        Args:
            cuts: the number of its adapters that are cut from trained ones, and evaluated.
        """
        ...

    def began(self, number: int, spec: TrialSpec) -> None:
        """A worker has received trial `number` (from 1; 0 for the base)."""
        ...

    def progressed(self, spec: TrialSpec, progress: Progress) -> None:
        """A trial made progress."""
        ...

    def ended(self, number: int, result: TrialResult) -> None:
        """A trial ended."""
        ...


class Silent:
    """Shows nothing."""

    def note(self, text: str) -> None:
        pass

    def waiting(self, text: str) -> None:
        pass

    def study(self, plan: StudyPlan, record: StudyRecord) -> None:
        pass

    def planned(self, trials: int, done: int, cuts: int = 0, cuts_done: int = 0) -> None:
        pass

    def began(self, number: int, spec: TrialSpec) -> None:
        pass

    def progressed(self, spec: TrialSpec, progress: Progress) -> None:
        pass

    def ended(self, number: int, result: TrialResult) -> None:
        pass
