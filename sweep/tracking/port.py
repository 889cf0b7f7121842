"""The port through which a sweep is recorded; stores with their own ways are behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sweep.records import Status, TrialResult, TrialSpec


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One invocation of a study, as it is recorded.

    Attributes:
        study: the study's name; it names the experiment too.
        config_yaml: the resolved configuration as text, without secrets; kept as the artifact `config.yaml`.
        tags: the caller's own tags of the parent run.
        params: what all trials have in common, under configuration keys; logged for the parent and for every trial.
        command: the command line that started the sweep.
        told: what the study knows of the trials of earlier invocations, by run id: how each ended, and its files (see
            `Tracker.close_trial`). A run of one of them that was left running ends so.
        alone: whether the caller is the only one who sweeps this study, so that runs left running are leftovers.
    """

    study: str
    config_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    told: Mapping[str, tuple[TrialResult, Sequence[Path]]] = field(default_factory=dict)
    alone: bool = True


class Tracker(Protocol):
    """Records sweeps and their trials: one parent run for each invocation, one child run for each trial.

    Every method raises `EnvironmentLacks` where the store cannot be reached or written.
    """

    def open_sweep(self, sweep: SweepRun) -> str:
        """Start the parent run and return its id.

        Runs of the same study that an earlier, killed invocation left running are ended first: as the sweep was `told`,
        else as interrupted; those of another machine only if the sweep is `alone`. Runs that no sweep started are left alone.
        """
        ...

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """Start the child run of one trial and return its id.

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

    def close_sweep(self, run_id: str, status: Status, summary: Mapping[str, float], files: Sequence[Path]) -> None:
        """Log what came of a sweep and end its run; trials of it that are still open end as interrupted.

        Args:
            summary: metrics of the whole sweep by name; values that are not finite are left out.
            files: files to keep with the run; those that do not exist are left out.
        """
        ...

    def link(self, run_id: str) -> str | None:
        """How a person reaches a run in a browser, or None.

        An address for a tracking server; for a database the part of an address that follows `mlflow ui`'s own.
        """
        ...
