"""What a study tells a person while it runs; how it is shown is the report room's affair."""

from __future__ import annotations

from typing import Protocol

from sweep.records import TrialResult, TrialSpec
from sweep.workers.messages import Progress


class Display(Protocol):
    """Told what happens, in the order in which it happens."""

    def note(self, text: str) -> None:
        """Something worth a line, for example a warning."""
        ...

    def waiting(self, text: str) -> None:
        """Something that takes a while has begun, for example loading the model."""
        ...

    def planned(self, trials: int, done: int) -> None:
        """So many trials are to be there in the end, so many are there already."""
        ...

    def began(self, number: int, spec: TrialSpec) -> None:
        """Trial `number` (from 1; 0 for the base) was given to a worker."""
        ...

    def progressed(self, spec: TrialSpec, progress: Progress) -> None:
        """How far a trial is."""
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

    def planned(self, trials: int, done: int) -> None:
        pass

    def began(self, number: int, spec: TrialSpec) -> None:
        pass

    def progressed(self, spec: TrialSpec, progress: Progress) -> None:
        pass

    def ended(self, number: int, result: TrialResult) -> None:
        pass
