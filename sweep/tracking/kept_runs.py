"""What MLflow's database says must stay: runs and logged models behind registered model versions, and what a person has pinned.

Imports no MLflow: the tables are read with `sqlite3`, and those that a version of MLflow does not have are skipped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweep.tracking.locations import reading, table_columns
from sweep.tracking.names import TRIAL

PINNED = "sweep.pinned"
"""A tag of a run or logged model, set by a person, that keeps its adapter; any value but `false`."""
_DELETED = "Deleted_Internal"
"""MLflow's stage of a version that was deleted."""
REMOVED_NOTE = "weights-removed.txt"
"""The file that takes the place of weights in MLflow's artifacts."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A logged model that a sweep has written.

    Attributes:
        folder: its artifacts, relative to MLflow's folder of artifacts.
        trial: identity of the trial whose adapter it holds.
        last: when it was changed last, in seconds since the epoch.
        keep: why it stays, in words; None if nothing in MLflow keeps it.
    """

    folder: Path
    trial: str
    last: float
    keep: str | None


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """Runs by what they mean for their adapters.

    Attributes:
        registered: runs that a version of a registered model comes from, directly or by a logged model, with `MODEL version N` and aliases.
        pinned: runs with the tag `sweep.pinned`.
        trials: the trial's identity of each run that has one.
        registered_trials: identities of trials that a version of a registered model names in its tag `sweep.trial`, with the same words.
        models: the logged models that name a trial.
    """

    registered: Mapping[str, str] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    trials: Mapping[str, str] = field(default_factory=dict)
    registered_trials: Mapping[str, str] = field(default_factory=dict)
    models: Sequence[KnownModel] = ()


def known_runs(database: Path) -> KnownRuns:
    """Reads MLflow's database; empty if there is none.

    Raises:
        EnvironmentLacks: it cannot be read.
    """
    if not database.exists():
        return KnownRuns()
    with reading(database) as connection:
        if not table_columns(connection, "runs"):
            return KnownRuns()
        pinned = connection.execute("select run_uuid from tags where key = ? and lower(value) <> 'false'", (PINNED,))
        trials = connection.execute("select run_uuid, value from tags where key = ?", (TRIAL,))
        pinned_runs = frozenset(str(row[0]) for row in pinned)
        registered, registered_trials, registered_models = _registered(connection)
        models = _models(connection, registered_models, pinned_runs)
        return KnownRuns(registered, pinned_runs, dict(trials.fetchall()), registered_trials, models)


def _models(
    connection: sqlite3.Connection, registered: Mapping[str, str], pinned_runs: frozenset[str]
) -> list[KnownModel]:
    """The logged models of trials.

    Args:
        registered: those behind versions of registered models, with the words for it.
    """
    if not table_columns(connection, "logged_models"):
        return []
    tags: dict[str, dict[str, str]] = {}
    for model, key, value in connection.execute("select model_id, tag_key, tag_value from logged_model_tags"):
        tags.setdefault(model, {})[key] = value
    query = (
        "select model_id, experiments.name, source_run_id, last_updated_timestamp_ms from logged_models "
        "join experiments using (experiment_id)"
    )
    models = []
    for model, experiment, run, changed in connection.execute(query):
        own = tags.get(model, {})
        if TRIAL in own and Path(experiment, model).parts == (experiment, model):  # names, not ways to other folders
            is_pinned = run in pinned_runs or own.get(PINNED, "false").lower() != "false"
            keep = registered.get(model) or ("pinned in MLflow" if is_pinned else None)
            models.append(KnownModel(Path(experiment, "models", model, "artifacts"), own[TRIAL], changed / 1000, keep))
    return models


def _registered(connection: sqlite3.Connection) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The runs that versions come from, the trials that they name, and the logged models that they consist of.

    A version of a study comes from the run of its sweep.
    """
    runs = {str(row[0]) for row in connection.execute("select run_uuid from runs")}
    models: dict[str, str] = {}
    if table_columns(connection, "logged_models"):
        models = dict(connection.execute("select model_id, source_run_id from logged_models").fetchall())
    aliases: dict[tuple[str, int], list[str]] = {}
    for name, version, alias in connection.execute("select name, version, alias from registered_model_aliases"):
        aliases.setdefault((name, version), []).append(alias)
    named_trials: dict[tuple[str, int], str] = {}
    if table_columns(connection, "model_version_tags"):
        query = "select name, version, value from model_version_tags where key = ?"
        named_trials = {(name, version): trial for name, version, trial in connection.execute(query, (TRIAL,))}
    registered: dict[str, str] = {}
    trials: dict[str, str] = {}
    registered_models: dict[str, str] = {}
    place_column = "storage_location" if "storage_location" in table_columns(connection, "model_versions") else "null"
    # a deleted version keeps its tags and its place
    query = f"select name, version, run_id, source, {place_column} from model_versions where current_stage <> ?"  # noqa: S608 (constants)
    for name, version, run, source, place in connection.execute(query, (_DELETED,)):
        called = ", ".join(sorted(aliases.get((name, version), [])))
        words = f"{name} version {version}" + (f" ({called})" if called else "")
        # `models:/ID`, `runs:/RUN/...`, or a folder of a run or of a logged model
        parts = [part for each in (source, place) for part in str(each or "").split("/")]
        named = {run, *(models.get(part, part) for part in parts)}
        registered |= {str(each): words for each in named & runs}
        registered_models |= {part: words for part in parts if part in models}
        if (name, version) in named_trials:
            trials[named_trials[name, version]] = words
    return registered, trials, registered_models
