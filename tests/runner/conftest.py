"""What tests of running trials share."""

from __future__ import annotations

from tests.training.conftest import frozen_libraries as frozen_libraries


class HeardProgress:
    """A listener that keeps what it hears, and gives the same answer to every report."""

    def __init__(self, *, prune: bool = False) -> None:
        self.prune = prune
        self.steps: list[int] = []
        self.losses: list[float] = []

    def progress(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        if phase == "train":
            self.steps.append(done)
            self.losses += [loss] if loss is not None else []

    def report(self, step: int, loss: float) -> bool:
        return self.prune
