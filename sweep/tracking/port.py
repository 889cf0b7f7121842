"""The interface through which a sweep is recorded, and what its implementations share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.locks import is_gone, is_here, is_left

KnownResults = Mapping[str, tuple[TrialResult, Sequence[Path]]]
"""How trials ended, and their files (see `Tracker.close_trial`), by run id."""


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One invocation of a study, as it is recorded.

    Attributes:
        study: the study's name, which is also the experiment's.
        config_yaml: the resolved configuration without secrets; kept as the artifact `config.yaml`.
        tags: the caller's own tags of the parent run.
        params: what all trials have in common, by configuration key; logged for the parent and for every trial.
        declared: what holds for the sweep as a whole, by configuration key; logged for the parent only.
        command: the command line that started the sweep.
        known_results: the trials that earlier invocations finished. If the run of one is still running, it ends with this result.
        alone: whether no other process sweeps this study, so that runs still running are leftovers.
    """

    study: str
    config_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    known_results: KnownResults = field(default_factory=dict)
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a sweep.

    Attributes:
        metrics: by name; values that are not finite are not recorded.
        tags: by name.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class RecordRefused(EnvironmentLacks):
    """The store refuses a record for good: for example, somebody has deleted the run."""


class Tracker(Protocol):
    """Records sweeps and their trials: one parent run per invocation, one child run per trial.

    A method raises `EnvironmentLacks` if the store cannot be reached or written, unless the tracker keeps records until the
    store is back (`sweep.tracking.recorder`).
    """

    def open_sweep(self, sweep: SweepRun) -> str:
        """Starts the parent run and returns its id.

        Runs of the same study that a killed invocation left running are ended first: with their known result, or as
        interrupted. Runs of other machines are ended only if the sweep is `alone`; runs that no sweep started never.
        """
        ...

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """Continues the parent run of an earlier process, to close or correct it."""
        ...

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """Starts the child run of one trial and returns its id, which can be provisional (`provisional_id`).

        Args:
            parent: the id that this tracker's `open_sweep` returned.
        """
        ...

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> str | None:
        """Logs a trial's result and ends its run; returns the run's id in the store, None while that is not known.

        Args:
            files: files and folders to keep with the run; missing ones are skipped.
        """
        ...

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """Logs the outcome of a sweep and ends its run; returns whether the store has every record.

        Open trials of the sweep end with their known result, or as interrupted.

        Args:
            files: files to keep with the run; missing ones are skipped.
        """
        ...

    def poll(self) -> None:
        """Handles messages from the store without waiting. Call it regularly while trials run."""
        ...

    def link(self, run_id: str) -> str | None:
        """Where to find a run in a browser, or None.

        A URL for a tracking server; for a database the part of the URL that follows the address of `mlflow ui`.
        """
        ...


_PROVISIONAL = "later-"


def provisional_id() -> str:
    """An id for a trial that the store has given no id yet."""
    return f"{_PROVISIONAL}{uuid.uuid4().hex}"


def is_provisional(run_id: str) -> bool:
    """Whether the store knows this run by another id."""
    return run_id.startswith(_PROVISIONAL)


_OWNER = "sweep.owner"


def owner_tags(process: str) -> dict[str, str]:
    """The tag that names the process, on which machine, that a run belongs to."""
    return {_OWNER: process}


def is_leftover(tags: Mapping[str, str], process: str, *, alone: bool) -> bool:
    """Whether a run that is still running belongs to a process that is gone.

    Args:
        tags: the run's tags.
        process: the process that is sweeping, as named by `sweep.store.locks.this_process`.
        alone: whether no other process sweeps this study; then only a live process of this machine keeps its runs.
    """
    owner = tags.get(_OWNER, "")
    if alone:
        return not is_here(owner) or is_left(owner, process)
    return is_gone(owner)
