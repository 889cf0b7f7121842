"""What MLflow's database says must stay: runs behind registered model versions, and runs that a person has pinned.

Imports no MLflow: the tables are read with `sqlite3`, and those that a version of MLflow does not have are skipped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweep.tracking.locations import reading, table_columns
from sweep.tracking.names import TRIAL

PINNED = "sweep.pinned"
"""A tag of a run, set by a person, that keeps its adapter; any value but `false`."""


@dataclass(frozen=True, slots=True)
class KnownRuns:
    """Runs by what they mean for their adapters.

    Attributes:
        registered: runs that a version of a registered model comes from, directly or by a logged model, with `MODEL version N` and aliases.
        pinned: runs with the tag `sweep.pinned`.
        trials: the trial's identity of each run that has one.
        registered_trials: identities of trials that a version of a registered model names in its tag `sweep.trial`, with the same words.
    """

    registered: Mapping[str, str] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    trials: Mapping[str, str] = field(default_factory=dict)
    registered_trials: Mapping[str, str] = field(default_factory=dict)


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
        registered, registered_trials = _registered(connection)
        return KnownRuns(
            registered, frozenset(str(row[0]) for row in pinned), dict(trials.fetchall()), registered_trials
        )


def _registered(connection: sqlite3.Connection) -> tuple[dict[str, str], dict[str, str]]:
    """The runs that versions come from, and the trials that they name: a version of a study comes from the run of its sweep."""
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
    for name, version, run, source in connection.execute("select name, version, run_id, source from model_versions"):
        called = ", ".join(sorted(aliases.get((name, version), [])))
        words = f"{name} version {version}" + (f" ({called})" if called else "")
        # `models:/ID`, `runs:/RUN/...`, or a folder of a run or of a logged model
        named = {run, *(models.get(part, part) for part in str(source or "").split("/"))}
        registered |= {str(each): words for each in named & runs}
        if (name, version) in named_trials:
            trials[named_trials[name, version]] = words
    return registered, trials
