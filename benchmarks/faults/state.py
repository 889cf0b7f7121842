"""What a study's folder holds, read without changing it and without the libraries that wrote it where that is possible."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.study import NAME
from sweep.records import StudyRecord, TrialRecord
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths

_IDENTITY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial in the study's records; the first five fields identify it.

    Attributes:
        rank: 0 for the unadapted base.
        learning_rate: in six digits; empty for the base.
        data: the hash of the data that it was trained and scored on.
    """

    stage: str
    split: str
    rank: int
    learning_rate: str
    seed: int
    status: str
    loss: float
    data: str

    @property
    def question(self) -> tuple[str, str, int, str, int]:
        """What must be answered once."""
        return (self.stage, self.split, self.rank, self.learning_rate, self.seed)


@dataclass(frozen=True, slots=True)
class Finished:
    """What is finished on disk.

    Attributes:
        results: the time of change (ns) of each trial's `result.json`, by identity.
        adapters: that of each adapter's weights.
    """

    results: Mapping[str, int] = field(default_factory=dict)
    adapters: Mapping[str, int] = field(default_factory=dict)

    def without(self, identities: frozenset[str]) -> Finished:
        """The same but for some, for example those that were damaged on purpose."""
        return Finished(
            {name: time for name, time in self.results.items() if name not in identities},
            {name: time for name, time in self.adapters.items() if name not in identities},
        )


@dataclass(frozen=True, slots=True)
class State:
    """What a study's folder holds.

    Attributes:
        trials: what Optuna and the certification remember, every status.
        decided: the fields of verdict.json that are an answer; None without one.
        running_runs: MLflow's runs that are said to be running, by name.
        running_trials: how many of Optuna's trials are.
        unreadable: what could not be read, with the reason.
    """

    trials: tuple[Trial, ...]
    decided: Mapping[str, Any] | None
    finished: Finished
    running_runs: tuple[str, ...] = ()
    running_trials: int = 0
    unreadable: tuple[str, ...] = ()


def state_of(folder: Path, mlflow_database: Path | None = None) -> State:
    """The state of the study in a folder.

    Args:
        mlflow_database: where MLflow's runs are, if not in the study's own `mlflow.db`.
    """
    root = folder / "mlruns"
    unreadable: list[str] = []
    with tempfile.TemporaryDirectory(prefix="goldilocks-state-") as scratch:
        # a copy under a plain path: reading must neither wait for locks nor leave anything behind
        copies = Path(scratch)
        for file in (*root.glob("optuna.db*"), *(mlflow_database or root / "mlflow.db").parent.glob("mlflow.db*")):
            if not file.name.endswith(".lock"):
                shutil.copy(file, copies)
        record = _record(copies, unreadable)
        running_trials = _ask(copies / "optuna.db", "select number from trials where state = 'RUNNING'", unreadable)
        running_runs = _ask(copies / "mlflow.db", "select name from runs where status = 'RUNNING'", unreadable)
    return State(
        trials=tuple(_trials(record)) if record else (),
        decided=_decided(root / "reports" / NAME / "verdict.json", unreadable),
        finished=finished_in(root),
        running_runs=tuple(map(str, running_runs)),
        running_trials=len(running_trials),
        unreadable=tuple(unreadable),
    )


def finished_in(root: Path) -> Finished:
    """What is finished under `mlruns`; a folder that is being written has another name than an identity."""
    kinds = ("trials", "adapters")
    return Finished(
        results={file.parent.name: file.stat().st_mtime_ns for file in _finished(root, kinds, "result.json")},
        adapters={
            identity_of(file): file.stat().st_mtime_ns for file in _finished(root, kinds, "adapter_model.safetensors")
        },
    )


def files_of_finished(root: Path, name: str) -> list[Path]:
    """The files of that name in the folders of what is finished under `mlruns`."""
    return sorted(_finished(root, ("trials", "adapters"), name))


def identity_of(file: Path) -> str:
    """The identity in the path of a file of something finished."""
    return next(part for part in reversed(file.parts) if _is_identity(part))


def _finished(root: Path, kinds: tuple[str, ...], name: str) -> Iterator[Path]:
    for kind in kinds:
        for folder in sorted((root / kind).glob("*/*")):
            if _is_identity(folder.name):
                yield from sorted(folder.rglob(name))


def _is_identity(name: str) -> bool:
    return len(name) == _IDENTITY_DIGITS and all(digit in "0123456789abcdef" for digit in name)


def _record(copies: Path, unreadable: list[str]) -> StudyRecord | None:
    try:
        with existing_storage(None, Paths(copies)) as storage:
            return studies_of(storage, NAME)[0]
    except Exception as error:  # whatever a damaged database does is a finding, not an end of the campaign
        unreadable.append(f"the study's records: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None


def _ask(file: Path, query: str, unreadable: list[str]) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True)) as database:
            return [row[0] for row in database.execute(query)]
    except sqlite3.Error as error:
        unreadable.append(f"{file.name}: {error}")
        return []


def _trials(record: StudyRecord) -> Iterator[Trial]:
    certification = record.certification
    remembered: list[TrialRecord] = [*([record.base] if record.base else []), *record.trials]
    if certification:
        remembered += [*([certification.base] if certification.base else []), *certification.tuning]
        remembered += [*certification.trials, *certification.final]
    for trial in remembered:
        result = trial.result
        arm = result.spec.arm
        yield Trial(
            stage=result.spec.stage.value,
            split=result.spec.split.value,
            rank=result.spec.rank,
            learning_rate=f"{arm.learning_rate:.6g}" if arm else "",
            seed=result.spec.seed,
            status=result.status.value,
            loss=result.measures.loss if result.measures else math.nan,
            data=result.provenance.data_hash if result.provenance else "",
        )


def _decided(file: Path, unreadable: list[str]) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        written = json.loads(file.read_text())
        rungs = [{key: rung[key] for key in ("rank", "state", "seeds", "mean")} for rung in written["ladder"]]
        whole = {key: written[key] for key in ("status", "rank", "bracket", "margin_in_loss")}
        return {**whole, "ladder": rungs, "test": {name: score["loss"] for name, score in written["test"].items()}}
    except (ValueError, KeyError, TypeError) as error:
        unreadable.append(f"verdict.json: {type(error).__name__}: {error}")
        return None
