"""A moved or copied `mlruns/`: what in it names its earlier place, and the correction.

Folders of trials and adapters, reports and Optuna's records hold no place that matters: they work wherever the folder is. MLflow's database
has absolute addresses; records that MLflow has not taken yet, and what a study knows of its recording, name the store. The earlier place is
read from MLflow's database, so that is corrected last: a repair that is killed before leaves everything to the next one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text
from sweep.store.whole_folder import scratch_for
from sweep.tracking.locations import EarlierPlace, earlier_places, relocate, run_folders


def where_it_was(paths: Paths) -> list[Path]:
    """The folders in which MLflow's database still looks for artifacts although it is in `paths.root`; empty if it was not moved.

    Raises:
        EnvironmentLacks: the database cannot be read.
    """
    return sorted({place.root for place in earlier_places(paths.mlflow_database, paths.root)})


def correct_places(paths: Paths) -> Iterator[str]:
    """Corrects a moved folder; yields a line per change. Nothing is deleted, and nothing is changed in the earlier place.

    Raises:
        StudyBusy: another process is writing to MLflow's database.
        EnvironmentLacks: a database cannot be read or written.
        OSError: a file cannot be copied or written.
    """
    places = earlier_places(paths.mlflow_database, paths.root)
    if not places:
        return
    was = ", ".join(sorted({str(place.root) for place in places}))
    if copied := sum(_copy_missing(paths, place) for place in places):
        yield f"artifacts of {copied} run(s) or logged model(s) that were only in {was} were copied to {paths.artifacts}"
    stores = {_store(place.root): _store(paths.root) for place in places}
    if journals := _correct_journals(paths, places, stores):
        yield f"{journals} file(s) of records that MLflow has not taken yet name this folder instead of {was}"
    if studies := _correct_studies(paths, stores):
        yield f"{studies} Optuna stud{'y names' if studies == 1 else 'ies name'} the MLflow store in this folder instead of {was}"
    changed = relocate(paths.mlflow_database, places, paths.root)
    yield f"{changed} artifact address(es) in MLflow's database were changed from {was} to {paths.root}"


def _copy_missing(paths: Paths, place: EarlierPlace) -> int:
    """Copies artifacts of runs and logged models that a sweep wrote to the earlier place after the move; returns how many."""
    copied = 0
    for tail in run_folders(paths.mlflow_database, place):
        old, new = place.root / tail, paths.root / tail
        if old.is_dir() and not new.exists():
            with scratch_for(new) as scratch:
                shutil.copytree(old, scratch / new.name)
                (scratch / new.name).rename(new)
            copied += 1
    return copied


def _correct_journals(paths: Paths, places: Sequence[EarlierPlace], stores: dict[str, str]) -> int:
    """Corrects store and files of records for the store that was moved; returns the number of journals."""
    corrected = 0
    for file in sorted(paths.journals.glob("*.jsonl")):
        lines = file.read_text(encoding="utf-8").splitlines()
        fresh = [_corrected(line, places, paths.root, stores) for line in lines]
        if fresh != lines:
            replace_text(file, "".join(f"{line}\n" for line in fresh))
            corrected += 1
    return corrected


def _corrected(line: str, places: Sequence[EarlierPlace], root: Path, stores: dict[str, str]) -> str:
    try:
        record: dict[str, Any] = json.loads(line)
        files = [_moved(Path(file), places, root) for file in record.get("files", [])]
        fresh = {
            **record,
            **({"store": stores[record["store"]]} if record.get("store") in stores else {}),
            **({"files": [str(file) for file in files]} if files else {}),
        }
    except (ValueError, TypeError, AttributeError):  # the last line of a process that was killed
        return line
    return line if fresh == record else json.dumps(fresh)


def _moved(file: Path, places: Sequence[EarlierPlace], root: Path) -> Path:
    for place in places:
        if file.is_relative_to(place.root):
            return root / file.relative_to(place.root)
    return file


def _correct_studies(paths: Paths, stores: dict[str, str]) -> int:
    if not paths.optuna_database.exists():
        return 0
    from sweep.search.moving import rename_stores
    from sweep.search.storage import opened_storage

    with opened_storage(None, paths) as storage:
        return rename_stores(storage, stores)


def _store(root: Path) -> str:
    return f"sqlite:///{Paths(root).mlflow_database}"
