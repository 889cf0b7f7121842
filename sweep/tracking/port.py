"""The port through which a sweep is recorded; stores with their own ways are behind it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One invocation of a study, as it is recorded.

    Attributes:
        study: the study's name; it names the experiment too.
        config_yaml: the resolved configuration as text, without secrets; kept as the artifact `config.yaml`.
        tags: the caller's own tags of the parent run.
        params: what all trials have in common, under configuration keys; logged for the parent and for every trial.
        declared: what holds for the sweep as a whole, under configuration keys; logged for the parent alone.
        command: the command line that started the sweep.
        told: what the study knows of the trials of earlier invocations, by run id: how each ended, and its files (see
            `Tracker.close_trial`). A run of one of them that was left running ends so.
        alone: whether the caller is the only one who sweeps this study, so that runs left running are leftovers.
    """

    study: str
    config_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    told: Mapping[str, tuple[TrialResult, Sequence[Path]]] = field(default_factory=dict)
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a sweep.

    Attributes:
        metrics: by name; values that are not finite are left out.
        tags: by name.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Refused(EnvironmentLacks):
    """The store answers and does not take a record, nor would it later: for example, a person has deleted the run."""


_LATER = "later-"


def later_id() -> str:
    """An id of our own for a trial that the store has given none yet."""
    return f"{_LATER}{uuid.uuid4().hex}"


def has_page(run_id: str) -> bool:
    """Whether the store knows a trial's run under this id; one that is recorded later has another there."""
    return not run_id.startswith(_LATER)


class Tracker(Protocol):
    """Records sweeps and their trials: one parent run for each invocation, one child run for each trial.

    A method raises `EnvironmentLacks` where the store cannot be reached or written, unless the tracker keeps what it is told
    until the store answers again (`sweep.tracking.recorder`).
    """

    def open_sweep(self, sweep: SweepRun) -> str:
        """Start the parent run and return its id.

        Runs of the same study that an earlier, killed invocation left running are ended first: as the sweep was `told`,
        else as interrupted; those of another machine only if the sweep is `alone`. Runs that no sweep started are left alone.
        """
        ...

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """Go on with the parent run of an earlier process, which did not come to close it or has more to say."""
        ...

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """Start the child run of one trial and return its id, see `has_page`.

        Args:
            parent: what this tracker's `open_sweep` returned.
        """
        ...

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """Log what came of a trial and end its run.

        Args:
            files: files and folders to keep with the run; those that do not exist are left out.
        """
        ...

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """Log what came of a sweep and end its run; returns whether the store has all that was recorded.

        Trials of it that are still open end as the sweep was `told`, else as interrupted.

        Args:
            files: files to keep with the run; those that do not exist are left out.
        """
        ...

    def heed(self) -> None:
        """Take note of what the store says, without waiting. Call it now and then while trials run."""
        ...

    def link(self, run_id: str) -> str | None:
        """How a person reaches a run in a browser, or None.

        An address for a tracking server; for a database the part of an address that follows `mlflow ui`'s own.
        """
        ...
