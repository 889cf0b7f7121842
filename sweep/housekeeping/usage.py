"""Which adapters are used by what, and which of them must stay; read from all records of this `mlruns`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sweep.errors import ConfigurationError
from sweep.housekeeping.chosen_weights import chosen_trials
from sweep.records import Stage, TrialRecord, TrialResult, trial_result_from_json
from sweep.records.champion import ChampionEntry
from sweep.search.portable import packed_studies, stored_results
from sweep.search.reading import studies_of, study_names
from sweep.search.storage import existing_storage
from sweep.store.champions import ENTRY
from sweep.store.locks import running_studies
from sweep.store.paths import ORIGIN, Paths, checked_name
from sweep.store.pins import Pins
from sweep.store.refresh_log import RefreshLog
from sweep.store.trials import RESULT
from sweep.tracking.kept_runs import KnownModel, known_runs


@dataclass
class Use:
    """What is known of an adapter.

    Attributes:
        studies: that have results of it.
        trials: identities of those results.
        runs: their MLflow runs.
        name: of a trial, for people.
        last: when a result of it ended last, in seconds since the epoch.
    """

    studies: set[str] = field(default_factory=set)
    trials: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    name: str = ""
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """All adapters with a result, and those that must stay.

    Attributes:
        recorded: uses by adapter, from the records of studies in Optuna's database, and from what `refresh` of those studies trained;
            bases included.
        only_on_disk: uses of other adapters, from folders of trials: single trials, and studies that are recorded in another database.
        keep: why an adapter stays, by its identity.
        kept_runs: why the artifacts of an MLflow run stay, by its id.
        known_here: the runs that `mlruns/mlflow.db` has. Of others nobody knows what keeps them: the store that has them was not read.
        models: the logged models in MLflow that may go, each with the adapter that it holds; what keeps the adapter keeps the model.
    """

    recorded: Mapping[str, Use]
    only_on_disk: Mapping[str, Use]
    keep: Mapping[str, str]
    kept_runs: Mapping[str, str]
    known_here: frozenset[str]
    models: Sequence[tuple[KnownModel, str]] = ()

    def find(self, word: str) -> str:
        """The adapter that a person means by an identity, or the beginning of one, of an adapter or a trial, or by an MLflow run.

        Raises:
            ConfigurationError: there is none, or more than one.
        """
        every = {**self.only_on_disk, **self.recorded}
        found = [
            adapter
            for adapter, use in every.items()
            if len(word) >= 6 and any(each.startswith(word) for each in (adapter, *use.trials, *use.runs))
        ]
        if len(found) != 1:
            known = "no adapter is known by it" if not found else f"{len(found)} adapters begin like that"
            raise ConfigurationError(
                f"{word}: {known}; write at least six characters of the identity of an adapter or a trial, or of an MLflow run"
            )
        return found[0]


def usage_of(paths: Paths, storage_url: str | None = None) -> Usage:
    """Reads all records.

    Raises:
        ConfigurationError: there is no record of a study here.
        DataError: the pins cannot be read.
        EnvironmentLacks: a database cannot be read.
    """
    recorded: dict[str, Use] = {}
    keep: dict[str, str] = {}
    trained_at_night: dict[str, set[str]] = {}
    with existing_storage(storage_url, paths) as storage:
        for study in study_names(storage):
            if any(paths.champions(study).glob(f"[0-9]*/{ENTRY}")):
                trained_at_night[study] = set(RefreshLog(paths.refresh_log(study)).adapters)
            for trial in stored_results(packed_studies(storage, study)):
                _add(recorded, trial.result, study, trial.run_id)
            for record in studies_of(storage, study):
                keep |= _chosen(study, chosen_trials(record))
    only_on_disk: dict[str, Use] = {}
    of_nights: dict[str, Use] = {}
    for result in results_on_disk(paths):
        spec = result.spec
        if spec.adapter_id in recorded:
            continue
        # a night evaluates the champion alone, too, but under the data of that night
        alone = spec.stage is Stage.SINGLE and spec.adapter_of is None
        # other trials of a study with nights may be recorded in another database, where they may have won
        at_night = spec.stage is Stage.PROMOTION or spec.adapter_id in trained_at_night.get(spec.study, ())
        is_of_night = spec.study in trained_at_night and at_night and not alone
        _add(of_nights if is_of_night else only_on_disk, result, spec.study, None)
        if alone:
            keep.setdefault(spec.adapter_id, "trained alone (sweep.train)")
    recorded |= of_nights
    for adapter, why in _handed_out(paths, {**only_on_disk, **recorded}):
        keep.setdefault(adapter, why)
    runs = known_runs(paths.mlflow_database)
    of_trial = {trial: adapter for adapter, use in recorded.items() for trial in use.trials}
    for run, identity in runs.trials.items():
        if identity in of_trial:
            recorded[of_trial[identity]].runs.add(run)
    kept_runs = {**dict.fromkeys(runs.pinned, "pinned in MLflow"), **runs.registered}
    of_run = {run: adapter for adapter, use in recorded.items() for run in use.runs}
    keep |= {of_run[run]: why for run, why in kept_runs.items() if run in of_run}
    keep |= {of_trial[trial]: why for trial, why in runs.registered_trials.items() if trial in of_trial}
    running = running_studies(paths)
    for adapter, use in recorded.items():
        for study in use.studies.intersection(running):
            keep.setdefault(adapter, f"a sweep of {study} is running")
    keep |= {adapter: f"pinned: {why}" for adapter, why in Pins(paths).all().items()}
    models = [(model, of_trial[model.trial]) for model in runs.models if not model.keep and model.trial in of_trial]
    return Usage(recorded, only_on_disk, keep, kept_runs, frozenset(runs.trials), models)


def _add(uses: dict[str, Use], result: TrialResult, study: str, run: str | None) -> None:
    use = uses.setdefault(result.spec.adapter_id, Use())
    use.studies.add(study)
    use.trials |= {result.spec.identity, *([result.spec.adapter_of] if result.spec.adapter_of else [])}
    if run is not None:
        use.runs.add(run)
    use.name = use.name or result.spec.name
    use.last = max(use.last, result.started + result.seconds)


def _chosen(study: str, trials: Sequence[TrialRecord]) -> dict[str, str]:
    words = (f"chosen by {study}", f"the chosen adapter of {study} was cut from it")
    return {trial.spec.adapter_id: why for trial, why in reversed(list(zip(trials, words, strict=False)))}


def _handed_out(paths: Paths, uses: Mapping[str, Use]) -> Iterator[tuple[str, str]]:
    """The adapters that reports and histories of champions hold, whatever the records say today."""
    of_trial = {trial: adapter for adapter, use in uses.items() for trial in use.trials}
    for folder in sorted((paths.root / "reports").glob("[!.]*")):
        why = f"in the report of {folder.name}"
        trial = _entry(folder / "adapter" / ORIGIN, "trial")
        if trial is not None:
            yield of_trial.get(trial, trial), why
    for file in sorted((paths.root / "champions").glob(f"[!.]*/[0-9]*/{ENTRY}")):
        # a damaged one is found by whoever needs it
        with suppress(OSError, ValueError, KeyError, TypeError):
            entry = ChampionEntry.from_json(json.loads(file.read_text(encoding="utf-8")))
            if entry.brings_adapter and entry.training:
                yield str(entry.training["identity"]), f"a version of the champion of {file.parents[1].name}"


def _entry(file: Path, key: str) -> str | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


def results_on_disk(paths: Paths) -> Iterator[TrialResult]:
    """The results of all trials that have a folder, in whichever database they are recorded; damaged ones are left out."""
    for file in sorted((paths.root / "trials").glob(f"[!.]*/[!.]*/{RESULT}")):
        # a damaged one is found by whoever needs it
        with suppress(OSError, ValueError, KeyError, TypeError, ConfigurationError):
            checked_name(file.parent.name)
            yield trial_result_from_json(json.loads(file.read_text(encoding="utf-8")))
