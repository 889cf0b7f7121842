# ruff: noqa: S608 (tables, columns and conditions are constants of this module, or names from the database itself)
"""The rows of one experiment in MLflow's database, to be packed and to be added to another database.

MLflow has no call that adds a run under the id that it has, and a study's records name its runs by their ids. So the rows are read and
written with SQL: tables and columns come from the lists below and from the database, never from a file. Rows that exist already stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.errors import DataError
from sweep.tracking.locations import LOCATIONS, earlier_places, reading, table_columns, writing

Row = tuple[str, dict[str, Any]]
"""A table and a row of it, by column."""

HERE = "mlruns:"
"""The beginning of an address in packed rows: the `mlruns` in which the artifacts are, wherever that is."""

_RUNS = "select run_uuid from runs where experiment_id = :experiment and lifecycle_stage = 'active'"
_MODELS = "select model_id from logged_models where experiment_id = :experiment"
_DATASETS = "select dataset_uuid from datasets where experiment_id = :experiment"
_OWN = f"({_RUNS} union {_MODELS} union {_DATASETS})"
_INPUTS = f"source_id in {_OWN} and destination_id in {_OWN}"
_LOCATIONS = "select artifact_location from logged_models where experiment_id = :experiment"
_VERSION = f"(run_id in ({_RUNS}) or source in ({_LOCATIONS}))"  # one that came into use later may have no run
_VERSIONS = f"from model_versions where {_VERSION}"
_REGISTERED = f"name in (select name {_VERSIONS})"
_REGISTERED_VERSION = f"(name, version) in (select name, version {_VERSIONS})"

_TABLES: Mapping[str, str] = {
    "experiments": "experiment_id = :experiment",
    "experiment_tags": "experiment_id = :experiment",
    "runs": f"run_uuid in ({_RUNS})",
    **dict.fromkeys(("params", "tags", "metrics", "latest_metrics"), f"run_uuid in ({_RUNS})"),
    "datasets": "experiment_id = :experiment",
    "logged_models": "experiment_id = :experiment",
    "logged_model_params": "experiment_id = :experiment",
    "logged_model_tags": "experiment_id = :experiment",
    "logged_model_metrics": "experiment_id = :experiment",
    "inputs": _INPUTS,
    "input_tags": f"input_uuid in (select input_uuid from inputs where {_INPUTS})",
    "registered_models": _REGISTERED,
    "registered_model_tags": _REGISTERED,
    "model_versions": _VERSION,
    "model_version_tags": _REGISTERED_VERSION,
    "registered_model_aliases": _REGISTERED_VERSION,
}
"""The tables of an experiment, in the order in which their rows can be added, and which of their rows belong to it."""

_OF_MODELS = (
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
)
"""The tables of MLflow's model registry."""

_REMOTE = ("models:/", "runs:/", "mlflow-artifacts:/", "s3://", "gs://", "wasbs://", "https://", "http://")
"""Beginnings of addresses that name no file of a machine."""


def packed_rows(database: Path, experiment: str, root: Path) -> Iterator[Row]:
    """The rows of an experiment; none if there is no database or no such experiment.

    Args:
        experiment: its name.
        root: the `mlruns` that has the artifacts. Their addresses begin with `HERE` in the rows.

    Raises:
        EnvironmentLacks: the database cannot be read.
    """
    if not database.exists():
        return
    places = [place.text for place in earlier_places(database, root)]
    places += [root.as_uri(), str(root)]
    with reading(database) as connection:
        found = None
        if table_columns(connection, "experiments"):
            found = connection.execute("select experiment_id from experiments where name = ?", (experiment,)).fetchone()
        if found is None:
            return
        for table, where in _TABLES.items():
            columns = table_columns(connection, table)
            if not columns:
                continue
            # the table and the condition are constants of this module
            for row in connection.execute(f'select * from "{table}" where {where}', {"experiment": found[0]}):
                yield table, _without_places(table, dict(zip(columns, row, strict=True)), places)


def foreign_address(row: Row) -> str | None:
    """An address in a packed row that no other machine could follow, since it names a file outside `mlruns`; None if all can be."""
    try:
        _placed(*row, Path("/"))
    except DataError:
        named = [str(row[1][column]) for column in _columns(*row)]
        return next((each for each in named if not each.startswith((HERE, *_REMOTE))), named[0])
    return None


def with_rows_of(rows: Iterable[Row], other: Iterable[Row]) -> tuple[list[Row], set[str]]:
    """The rows of an experiment and those of a store that has recorded it since; and the registered models of the first that are left out.

    A registered model that both have is the other store's: versions are numbered in each store, so the same number means two adapters.
    """
    listed, added = list(rows), list(other)
    named = {str(row["name"]) for table, row in added if table == "registered_models"}
    kept = [(table, row) for table, row in listed if table not in _OF_MODELS or row["name"] not in named]
    left_out = {str(row["name"]) for table, row in listed if table == "registered_models"} & named
    return kept + added, left_out


def add_rows(database: Path, rows: Iterable[Row], experiment: str, root: Path) -> str:
    """Adds packed rows in one transaction, to the experiment of that name if there is one; returns the experiment's id.

    Args:
        database: one that has MLflow's tables.
        root: the `mlruns` that has the artifacts here.

    Raises:
        DataError: the rows are not those of an experiment, or name files outside.
        StudyBusy: another process is writing to the database.
        EnvironmentLacks: the database cannot be read or written.
    """
    listed = list(rows)
    own = [row for table, row in listed if table == "experiments"]
    if len(own) != 1 or own[0].get("name") != experiment:
        raise DataError(f"the archive's MLflow records are not those of the experiment '{experiment}'")
    packed_id = own[0].get("experiment_id")
    with writing(database) as connection:
        known = connection.execute("select experiment_id from experiments where name = ?", (experiment,)).fetchone()
        if known is None:
            taken = connection.execute("select 1 from experiments where experiment_id = ?", (packed_id,)).fetchone()
            kept = packed_id if taken is None and type(packed_id) is int and packed_id > 0 else None
            _insert(connection, "experiments", {**_placed("experiments", own[0], root), "experiment_id": kept})
            known = connection.execute("select experiment_id from experiments where name = ?", (experiment,)).fetchone()
        registered = {str(row[0]) for row in connection.execute("select name from registered_models")}
        data_sets: dict[str, Any] = {}  # ids as they are here, by those in the rows
        for table, row in listed:
            # a registered model that is here stays as it is: its version 1 is another one
            if table == "experiments" or (table in _OF_MODELS and row.get("name") in registered):
                continue
            if table not in _TABLES or row.get("experiment_id", packed_id) != packed_id:
                raise DataError(f"the archive's MLflow records have a row of '{table}' that is not of this experiment")
            placed = {**_placed(table, row, root), **({"experiment_id": known[0]} if "experiment_id" in row else {})}
            if table == "inputs" and placed.get("source_type") == "DATASET":
                placed["source_id"] = data_sets.get(str(placed.get("source_id")), placed.get("source_id"))
            _insert(connection, table, placed)
            if table == "datasets":
                data_sets[str(placed.get("dataset_uuid"))] = _known_data_set(connection, placed)
        return str(known[0])


def _known_data_set(connection: sqlite3.Connection, row: Mapping[str, Any]) -> Any:
    """The id of a data set in the database, where another store's row of the same name and digest may have come first."""
    key = [row.get(column) for column in ("experiment_id", "name", "digest")]
    query = "select dataset_uuid from datasets where experiment_id = ? and name = ? and digest = ?"
    found = connection.execute(query, key).fetchone()
    return row.get("dataset_uuid") if found is None else found[0]


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    """Inserts a row unless one with its key exists; columns that this version of MLflow does not have are left out."""
    columns = [column for column in table_columns(connection, table) if column in row]
    if not columns:
        return
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" for _ in columns)
    try:
        connection.execute(
            f'insert or ignore into "{table}" ({names}) values ({marks})',
            [row[column] for column in columns],
        )
    except sqlite3.Error as error:
        raise DataError(f"the archive's MLflow records do not fit this version of MLflow ({table}: {error})") from error


def _without_places(table: str, row: dict[str, Any], places: Iterable[str]) -> dict[str, Any]:
    for column in _columns(table, row):
        for place in places:
            if row[column].startswith(f"{place}/"):
                row[column] = f"{HERE}{row[column].removeprefix(place)}"
                break
    return row


def _placed(table: str, row: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The row with addresses of this machine.

    Raises:
        DataError: an address names a file outside `mlruns`.
    """
    placed = dict(row)
    for column in _columns(table, placed):
        location = placed[column]
        tail = location.removeprefix(HERE)
        if location.startswith(f"{HERE}/") and ".." not in tail and "%" not in tail and "\\" not in tail:
            placed[column] = f"{root.as_uri()}{tail}"
        elif ".." in location or not location.startswith(_REMOTE):
            raise DataError(f"the archive's MLflow records name a file outside of mlruns: {location[:200]}")
    return placed


def _columns(table: str, row: Mapping[str, Any]) -> list[str]:
    """The columns of a row that hold addresses."""
    return [
        column for place, column in LOCATIONS if place == table and isinstance(row.get(column), str) and row[column]
    ]
