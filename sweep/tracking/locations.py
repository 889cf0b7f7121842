"""Where MLflow's database says that artifacts are, and how that is corrected after `mlruns/` was moved or copied.

MLflow stores an absolute address with every experiment, run and logged model. Relative ones are no way out: MLflow makes them absolute
when an experiment is created. So a moved store is corrected, in one transaction, by replacing the earlier folder at the beginning of
every address. Imports no MLflow: the tables are read with `sqlite3`, and those that a version of MLflow does not have are skipped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sweep.errors import EnvironmentLacks, StudyBusy

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
"""Tables and columns of MLflow's database that hold addresses of artifacts."""

_ONLY_SOME = {"trace_tags": "key = 'mlflow.artifactLocation'"}
"""Conditions on the rows of a table that hold addresses, where not all do."""

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class EarlierPlace:
    """A folder in which this store was before it was moved or copied.

    Attributes:
        text: how MLflow's addresses name it: `file:///FOLDER`, or a plain path.
        root: the folder itself, then called `mlruns` or otherwise.
    """

    text: str
    root: Path


def earlier_places(database: Path, root: Path) -> list[EarlierPlace]:
    """The folders other than `root` where the database looks for artifacts of studies; empty if there is no database.

    Only addresses that this project has given count, `.../artifacts/EXPERIMENT`: what somebody keeps elsewhere on purpose stays.

    Args:
        root: the `mlruns` in which the database is.

    Raises:
        EnvironmentLacks: the database cannot be read.
    """
    if not database.exists():
        return []
    query = (
        "select name, artifact_location from experiments union all "
        "select experiments.name || '/' || run_uuid || '/artifacts', artifact_uri from runs join experiments using (experiment_id)"
    )
    with reading(database) as connection:
        if not table_columns(connection, "experiments"):
            return []
        rows = connection.execute(query).fetchall()
    places: dict[str, EarlierPlace] = {}
    for tail, location in rows:
        text, found, _ = str(location or "").rpartition(f"/artifacts/{tail}")
        if found and str(location).endswith(f"/artifacts/{tail}") and (folder := local_path(text)) is not None:
            places.setdefault(text, EarlierPlace(text, folder))
    return [place for place in places.values() if not _is_same(place.root, root)]


def run_folders(database: Path, place: EarlierPlace) -> list[Path]:
    """The artifact folders of the runs and logged models that the database looks for in an earlier place, relative to that place."""
    rows: list[tuple[str]] = []
    with reading(database) as connection:
        for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
            if column in table_columns(connection, table):
                # table and column are constants
                rows += connection.execute(
                    f"select substr({column}, length(:old) + 2) from {table} "  # noqa: S608
                    f"where substr({column}, 1, length(:old) + 1) = :old || '/'",
                    {"old": place.text},
                ).fetchall()
    tails = [Path(unquote(str(row[0]))) for row in rows]
    return [tail for tail in tails if ".." not in tail.parts and not tail.is_absolute()]


def relocate(database: Path, places: list[EarlierPlace], root: Path) -> int:
    """Replaces earlier folders by `root` in all addresses, in one transaction; returns the number of addresses changed.

    Raises:
        StudyBusy: another process is writing to the database.
        EnvironmentLacks: the database cannot be read or written.
    """
    changed = 0
    with writing(database) as connection:
        for table, column in LOCATIONS:
            if column not in table_columns(connection, table):
                continue
            for place in places:
                new = root.as_uri() if place.text.startswith("file:") else str(root)
                # table and column are constants of this module
                changed += connection.execute(
                    f'update "{table}" set "{column}" = :new || substr("{column}", length(:old) + 1) '  # noqa: S608
                    f"where substr(\"{column}\", 1, length(:old) + 1) = :old || '/' and {_ONLY_SOME.get(table, 'true')}",
                    {"old": place.text, "new": new},
                ).rowcount
    return changed


def local_path(location: str) -> Path | None:
    """The folder of a `file:` address or an absolute path; None for addresses of other kinds and for relative paths."""
    if location.startswith("file:"):
        parts = urlsplit(location)
        path = Path(unquote(parts.path))
        return path if parts.netloc in ("", "localhost") and path.is_absolute() else None
    path = Path(location)
    return path if path.is_absolute() else None


def table_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table; empty if there is none of this name."""
    return [str(row[0]) for row in connection.execute("select name from pragma_table_info(?)", (table,))]


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot change the database.

    Raises:
        EnvironmentLacks: the database cannot be read.
    """
    try:
        with closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_SECONDS)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise _explained(database, error) from error


@contextmanager
def writing(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose block is one transaction, which begins at once.

    Raises:
        StudyBusy: another process is writing to the database.
        EnvironmentLacks: the database cannot be read or written.
    """
    try:
        with closing(sqlite3.connect(database, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StudyBusy(
                f"{database} is being written by another process: wait for the sweep, stop the MLflow server, and run this again"
            ) from None
        raise _explained(database, error) from error
    except sqlite3.Error as error:
        raise _explained(database, error) from error


def _explained(database: Path, error: sqlite3.Error) -> EnvironmentLacks:
    return EnvironmentLacks(
        f"MLflow's database {database} cannot be used ({error}); check its permissions and disk; "
        "`python -m sweep.doctor --repair` says whether it is damaged"
    )


def _is_same(one: Path, other: Path) -> bool:
    """Whether both are one folder, also by way of a link."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False
