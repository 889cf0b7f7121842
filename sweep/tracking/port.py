"""The interface through which a sweep is recorded, and what its implementations share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.locks import is_gone, is_here, is_left
from sweep.tracking.names import TRIAL, Point

CHAMPION = "champion"
"""The alias of the version that is in use; of a study without a history of champions, the one that its verdict chose."""
VERDICT = "verdict"
"""The alias of the version that a study's verdict chose, where another one may be in use."""

KnownResults = Mapping[str, tuple[TrialResult, Sequence[Path]]]
"""How trials ended, and their files (see `Tracker.close_trial`), by run id, or by identity where no run id is known."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One split of a study's data, as an MLflow data set.

    Attributes:
        name: the task and the split, `pharma-certify`.
        split: `train`, `tune`, `certify` or `test`; in MLflow the context in which a run uses it.
        sha256: of the rows in order, in hex; its beginning is MLflow's digest.
        rows: their number, before those that are too long are left out.
        kinds: number of rows by kind; empty if the task has none.
        source_kind: `hf` for the model hub's data sets, else `local`.
        source: where the rows come from, a JSON object.
    """

    name: str
    split: str
    sha256: str
    rows: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    source_kind: str = "local"
    source: str = "{}"


@dataclass(frozen=True, slots=True)
class Champion:
    """An adapter of a study, as a version of a registered model.

    Attributes:
        model: the registered model's name.
        name: of MLflow's logged model.
        folder: the folder of the adapter, as it is handed out.
        trial: identity of the trial whose adapter it is; one version per trial.
        tags: of the version, by name.
        params: of the logged model, by name.
        description: of the version, as Markdown, with `{version}` for its number.
        serving: what the answering code needs to know (`sweep.training.goldilocks_champion`), as JSON types.
        code: the file with that code.
        requirements: the packages that it needs, with versions.
        prompt: the input example; None for none.
        aliases: of the version. The one with `champion` is in use, and its description is also that of the registered model.
    """

    model: str
    name: str
    folder: str
    trial: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    description: str
    serving: Mapping[str, Any]
    code: str
    requirements: Sequence[str] = ()
    prompt: str | None = None
    aliases: Sequence[str] = (CHAMPION,)


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
        data_sets: the splits of the data; the parent run gets them all, a trial those that it sees.
        system_metrics: whether MLflow samples the load of this machine while the sweep runs.
    """

    study: str
    config_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    known_results: KnownResults = field(default_factory=dict)
    alone: bool = True
    data_sets: Sequence[DataSet] = ()
    system_metrics: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a sweep.

    Attributes:
        metrics: by name; values that are not finite are not recorded.
        tags: by name.
        series: values by step, such as the ladder's by rank.
        when: the time of all these values in seconds, the same for the same outcome, so that recording it again adds nothing; 0 for now.
        note: the experiment's description as Markdown, with `{experiment}` and `{run}` for the ids; empty to leave it as it is.
        metric: the task metric, which the experiment's saved views show; empty for no views.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    series: Sequence[Point] = ()
    when: float = 0.0
    note: str = ""
    metric: str = ""


def summary_from_json(entry: Mapping[str, Any]) -> Summary:
    """The summary within a record of a journal, which earlier versions may have written.

    Raises:
        KeyError, TypeError: it is of a later version.
    """
    later = {name: entry[name] for name in ("when", "note", "metric") if name in entry}
    series = tuple(Point(**point) for point in entry.get("series", ()))
    return Summary(entry["metrics"], entry["tags"], series, **later)


def seen_by(spec: TrialSpec, data_sets: Sequence[DataSet]) -> list[DataSet]:
    """The splits that a trial sees: that of its evaluation, and the training data unless it is the bare base."""
    splits = {spec.split.value, *(["train"] if spec.arm is not None else [])}
    return [each for each in data_sets if each.split in splits]


class RecordRefused(EnvironmentLacks):
    """The store refuses a record for good: for example, somebody has deleted the run."""


class Tracker(Protocol):
    """Records sweeps and their trials: one parent run per invocation, one child run per trial.

    A method raises `EnvironmentLacks` if the store cannot be reached or written, unless the tracker keeps records until the
    store is back (`sweep.tracking.recorder`).
    """

    @property
    def refused_registration(self) -> bool:
        """Whether the store has refused what `register` or `release` asked for, after they returned.

        False for a tracker that raises at once.
        """
        ...

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

    def known_id(self, run_id: str) -> str | None:
        """The id that the store gave to a trial's run, None while it has given none."""
        ...

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """Logs a trial's result and ends its run.

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

    def end_left(self, sweep: SweepRun) -> bool:
        """Records what earlier sweeps left, and ends the runs that killed ones left running, as `open_sweep` does; opens no run.

        Returns False if the store is away.
        """
        ...

    def register(self, run_id: str | None, champion: Champion) -> None:
        """Keeps an adapter as a version of a registered model, with its aliases.

        A trial has one version; registering it again describes that one anew.

        Args:
            run_id: the parent run of the sweep that chose it; None for the run of its trial, if the store has that one. Call
                `end_left` before.
        """
        ...

    def release(self, model: str, alias: str) -> None:
        """Takes an alias of a registered model off its version; does nothing if there is no such alias or model."""
        ...

    def settle(self) -> bool:
        """Waits until the store has every record, within limits; returns whether it has."""
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


def known_result(
    known_results: KnownResults, run_id: str, tags: Mapping[str, str]
) -> tuple[TrialResult, Sequence[Path]] | None:
    """How the trial of a run ended; None if it is not known."""
    return known_results.get(run_id) or known_results.get(tags.get(TRIAL, run_id))


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
