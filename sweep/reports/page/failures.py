"""Trials that came to nothing, those with the same reason together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.records import Status, TrialRecord

MOST_NAMES = 6
MOST_KINDS = 25


@dataclass(frozen=True, slots=True)
class Failure:
    """So many trials that ended the same way for the same reason."""

    status: str
    reason: str
    count: int
    names: str


def failures(trials: Iterable[TrialRecord]) -> list[Failure]:
    """Failed and infeasible trials by reason, the most frequent first; pruned ones came to something."""
    found: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial.status in (Status.FAILED, Status.INFEASIBLE, Status.INTERRUPTED):
            found.setdefault((trial.status.value, trial.reason or "no reason was recorded"), []).append(
                f"{trial.spec.stage.value} {trial.name}"
            )
    grouped = [Failure(status, reason, len(names), _some(names)) for (status, reason), names in found.items()]
    return sorted(grouped, key=lambda failure: (-failure.count, failure.status, failure.reason))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"
