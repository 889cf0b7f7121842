"""Packs a study into one file: its records in Optuna and MLflow, trials, adapters, score caches, its champions, and what was reported."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from sweep.errors import ConfigurationError
from sweep.housekeeping.archive_file import ArchiveWriter, is_safe, written
from sweep.housekeeping.chosen_weights import chosen_trials
from sweep.housekeeping.usage import results_on_disk
from sweep.records import StudyRecord, TrialResult, TrialSpec
from sweep.search.portable import packed_studies, stored_results
from sweep.search.reading import study_of
from sweep.search.storage import existing_storage
from sweep.store.champions import ENTRY
from sweep.store.locks import study_lock
from sweep.store.paths import ORIGIN, Paths
from sweep.store.whole_folder import damage
from sweep.tracking import stored_experiment
from sweep.tracking.address import MEMORY, address_of
from sweep.tracking.rows import Row, foreign_address, packed_rows, with_rows_of

if TYPE_CHECKING:
    from sweep.tracking.stored_experiment import StoredExperiment

OPTUNA, MLFLOW = "study/optuna.json", "study/mlflow.jsonl"

CHAMPION_ENTRY = re.compile(r"[0-9]{4,9}")
"""The name of an entry's folder in the history of a champion."""

_WEIGHTS = ".safetensors"
_ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed.

    Attributes:
        files: number of files.
        unpacked: their bytes.
        size: bytes of the archive.
    """

    file: Path
    files: int
    unpacked: int
    size: int


def pack(
    study: str,
    file: Path,
    paths: Paths,
    say: Callable[[str], None],
    *,
    storage_url: str | None = None,
    tracking_uri: str | None = None,
    only_chosen: bool = False,
    with_base: bool = False,
) -> Packed:
    """Packs a study. A file of that name appears complete or not at all.

    Args:
        say: called with a line for each thing that is left out.
        storage_url: as `storage.url`.
        tracking_uri: the store that has its MLflow runs beside `mlruns/mlflow.db`, as `tracking.uri`; None for that of its last run.
        only_chosen: whether weights other than those of the chosen adapter, and of the one that it was cut from, are left out.
        with_base: whether the base model is packed if it is under `mlruns/models`.

    Raises:
        ConfigurationError: there is no such study, or the file exists.
        StudyBusy: a sweep of the study is running.
        EnvironmentLacks: a database or the MLflow store cannot be read.
        DataError: a file changed meanwhile.
        OSError: a file cannot be read or written.
    """
    if file.exists():
        raise ConfigurationError(f"file={file}: it exists; move it away, or write another name: file=OTHER.zip")
    with study_lock(paths, study):
        with existing_storage(storage_url, paths) as storage:
            studies = packed_studies(storage, study)
            record = study_of(storage, study)
        elsewhere = _recorded_elsewhere(record, tracking_uri, paths, say)
        chosen = chosen_trials(record)
        weights = {trial.spec.adapter_id for trial in chosen} if only_chosen else None
        specs = [each.spec for each in stored_results(studies)]
        specs += [each.spec for each in _beside_the_records(paths, study)]
        about = {
            "study": study,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {name: _version(name) for name in ("goldilocks-lora", "optuna", "mlflow")},
            "trials": len({spec.identity for spec in specs}),
            "weights": "chosen" if only_chosen else "all",
        }
        with written(file, about) as archive:
            _add_folder(archive, paths, paths.report(study), say)
            _add_champions(archive, paths, study, say)
            for folder, left_out in _stored(specs, paths, weights):
                _add_stored(archive, paths, folder, left_out, say)
            runs = {trial.run_id for trial in chosen} if only_chosen else None
            _add_folder(archive, paths, paths.artifacts / study, say, lambda name: _is_left_out(name, runs))
            if elsewhere is not None:
                _add_artifacts(archive, elsewhere, say, lambda name: _is_left_out(name, runs))
            if with_base:
                _add_base(archive, paths, study, say)
            archive.add_text(OPTUNA, json.dumps(studies))
            _add_rows(archive, paths, study, elsewhere, say)
            if any(paths.journals.glob(f"{study}.*.jsonl")):
                say("some records have not reached MLflow yet, and are left out; the study's command records them")
    entries = archive.entries
    return Packed(file, len(entries), sum(each.size for each in entries.values()), file.stat().st_size)


def _beside_the_records(paths: Paths, study: str) -> Iterator[TrialResult]:
    """The trials of `refresh`, which continues from their folders, and those that were trained alone under the study's name."""
    named: set[object] = set()
    for file in paths.champions(study).glob(f"[0-9]*/{ENTRY}"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # `_add_champions` says so
            named.add(json.loads(file.read_text(encoding="utf-8"))["trial"])
    for result in results_on_disk(paths):
        if result.spec.study == study or result.spec.identity in named:
            yield result


def _stored(
    specs: Sequence[TrialSpec], paths: Paths, weights: set[str] | None
) -> Iterator[tuple[Path, Callable[[str], bool]]]:
    """The folders of trials, adapters and score caches, and which of their files are left out."""
    for spec in {each.identity: each for each in specs}.values():
        # earlier versions kept adapters in the folders of trials
        loses = weights is not None and spec.adapter_id not in weights and spec.identity not in weights
        yield paths.trial(spec.identity), (lambda name: f"/{_ADAPTER}/" in name) if loses else _nothing
    for adapter in dict.fromkeys(each.adapter_id for each in specs):
        if weights is None or adapter in weights:
            yield paths.trained_adapter(adapter), _nothing
        yield paths.scores(adapter), _nothing


def _nothing(name: str) -> bool:
    return False


def _is_left_out(name: str, runs: set[str | None] | None) -> bool:
    """Whether a file in MLflow's artifacts is weights of an adapter that lost: `artifacts/STUDY/RUN/artifacts/adapter/...`."""
    parts = name.split("/")
    is_adapter = len(parts) > 5 and parts[3:5] == ["artifacts", _ADAPTER]
    return runs is not None and is_adapter and name.endswith(_WEIGHTS) and parts[2] not in runs


def _add_stored(
    archive: ArchiveWriter,
    paths: Paths,
    folder: Path,
    left_out: Callable[[str], bool],
    say: Callable[[str], None],
) -> None:
    if not folder.is_dir():
        return
    if (wrong := damage(folder)) is not None:
        say(f"{folder} is damaged ({wrong}) and is left out; `python -m sweep.doctor --repair` moves it aside")
        return
    _add_folder(archive, paths, folder, say, left_out)


def _add_folder(
    archive: ArchiveWriter,
    paths: Paths,
    folder: Path,
    say: Callable[[str], None],
    left_out: Callable[[str], bool] = _nothing,
) -> None:
    """Adds the files of a folder; links, and scratch files of processes (their names begin with a dot), are not followed or added."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(paths.root).as_posix()
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if hidden or left_out(name) or file.is_symlink() or not file.is_file():
            continue
        if is_safe(name):
            archive.add(name, file)
        else:
            say(f"{file} is left out: other systems do not accept its name")


def _add_champions(archive: ArchiveWriter, paths: Paths, study: str, say: Callable[[str], None]) -> None:
    """Adds the history of the adapters in use, whole or not at all: without one of its entries, the tests cannot be counted."""
    folder = paths.champions(study)
    entries = sorted(each for each in folder.glob("*") if CHAMPION_ENTRY.fullmatch(each.name))
    for entry in entries:
        if (wrong := damage(entry, earlier_versions=False)) is not None:
            say(f"the history of its champion is left out: {entry} is damaged ({wrong}); restore it from a backup")
            return
    for entry in entries:
        _add_folder(archive, paths, entry, say)
    for file in (paths.drift(study), paths.drift_picture(study), paths.refresh_log(study)):
        if entries and file.is_file():
            archive.add(file.relative_to(paths.root).as_posix(), file)


def _recorded_elsewhere(
    record: StudyRecord, given: str | None, paths: Paths, say: Callable[[str], None]
) -> StoredExperiment | None:
    """The study's experiment in a store other than `mlruns/mlflow.db`; None if it has none.

    Raises:
        ConfigurationError: the store's address is not complete, or the store has no such experiment.
        EnvironmentLacks: the store cannot be read.
    """
    recorded = str(((yaml.safe_load(record.config) or {}).get("tracking") or {}).get("uri") or MEMORY)
    address = address_of(given or recorded)
    if given is not None and address.kind == "memory" and recorded != MEMORY:
        say(f"its MLflow runs in {address_of(recorded).shown} are left out")
    if address.kind == "memory" or address.database == paths.mlflow_database:
        return None
    if given is None and "***" in recorded:
        raise ConfigurationError(
            f"study={record.name} was recorded in {recorded}, whose password is not stored; write the address, tracking=URI, or "
            f"leave its MLflow runs out: tracking={MEMORY}"
        )
    experiment = stored_experiment(given or recorded, record.name)
    say(f"reading {len(experiment.runs):,} MLflow run(s) from {address.shown}")
    return experiment


def _add_artifacts(
    archive: ArchiveWriter, experiment: StoredExperiment, say: Callable[[str], None], left_out: Callable[[str], bool]
) -> None:
    """Adds the artifacts of a store elsewhere, under the names that they have in `mlruns`."""

    def is_unwanted(name: str) -> bool:
        if not is_safe(name):
            say(f"the artifact {name[:200]} is left out: other systems do not accept its name")
        return not is_safe(name) or left_out(name) or name in archive.entries

    with TemporaryDirectory(prefix="goldilocks-") as scratch:
        for name, file in experiment.files(is_unwanted, Path(scratch)):
            archive.add(name, file)


def _add_rows(
    archive: ArchiveWriter,
    paths: Paths,
    study: str,
    elsewhere: StoredExperiment | None,
    say: Callable[[str], None],
) -> None:
    """Adds MLflow's rows of the study, those in `mlruns/mlflow.db` and those of another store."""
    rows = _to_be_followed(packed_rows(paths.mlflow_database, study, paths.root), say)
    if elsewhere is not None:
        here = next((row["experiment_id"] for table, row in rows if table == "experiments"), None)
        rows, left_out = with_rows_of(rows, _to_be_followed(elsewhere.rows(here), say))
        for model in sorted(left_out):
            say(
                f"the registered model {model} is packed as the other store has it, without its versions in {paths.mlflow_database}"
            )
    if rows:
        archive.add_text(MLFLOW, "\n".join(map(json.dumps, rows)))


def _to_be_followed(rows: Iterable[Row], say: Callable[[str], None]) -> list[Row]:
    """The rows, or none if they name artifacts that are not packed."""
    listed = list(rows)
    for row in listed:
        if (elsewhere := foreign_address(row)) is not None:
            say(f"its MLflow runs have artifacts outside of mlruns ({elsewhere}), and are left out")
            return []
    return listed


def _add_base(archive: ArchiveWriter, paths: Paths, study: str, say: Callable[[str], None]) -> None:
    try:
        origin = json.loads((paths.adapter(study) / ORIGIN).read_text(encoding="utf-8"))
        folder = paths.models / Path(str(origin["base_folder"])).name
    except (OSError, ValueError, KeyError, TypeError):
        say("the base model is left out: the study has no adapter that names it")
        return
    if folder.is_dir():
        _add_folder(archive, paths, folder, say)
    else:
        say(f"the base model is left out: it is not under {paths.models} (its source: {origin.get('base_source')})")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
