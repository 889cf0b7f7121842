"""Optuna studies as JSON, to be read into another database: no tables, so versions of Optuna may differ, and no pickles."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import optuna
import yaml
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.errors import ConfigurationError, DataError
from sweep.records import TrialRecord
from sweep.search.moving import RECORDING
from sweep.search.optuna_internals import id_of, system_attrs_of, transaction
from sweep.search.stored_trials import INTERRUPTED, RESULT, record_from_json

PackedStudy = dict[str, Any]
"""An Optuna study as plain JSON types."""

RUN_PAGE = "run_page"
"""User attribute of a study: the address of its trials' MLflow runs, with `{run}` for the run's id."""


class Presence(StrEnum):
    """What a database has of packed studies."""

    ABSENT = "absent"
    PRESENT = "present"
    """The same studies, which may have gone on since they were packed."""
    DIFFERENT = "different"


def packed_studies(storage: RDBStorage, name: str) -> list[PackedStudy]:
    """All Optuna studies of a study's name.

    Trials that a killed sweep left running are packed as interrupted: they run again with the same values, wherever that is.

    Raises:
        ConfigurationError: there is none.
    """
    packed = [_packed(study) for study in _studies(storage, name)]
    if not packed:
        raise ConfigurationError(f"study={name}: there is no such study here")
    return packed


def stored_results(packed: Sequence[PackedStudy]) -> list[TrialRecord]:
    """Every result that the studies hold, whichever stage, recipe or ladder it belongs to."""
    entries: list[Mapping[str, Any]] = []
    for each in packed:
        entries += [trial["user_attrs"][RESULT] for trial in each["trials"] if RESULT in trial["user_attrs"]]
        entries += [value for value in each["user_attrs"].values() if isinstance(value, dict) and "spec" in value]
    return [record_from_json(-1, entry) for entry in entries]


def presence(storage: RDBStorage, name: str, packed: Sequence[PackedStudy]) -> Presence:
    """Whether the database has these studies: absent, present, or others of the same name."""
    here = {study.study_name: _results(_packed(study)) for study in _studies(storage, name)}
    if not here:
        return Presence.ABSENT
    same = all(
        each["study_name"] in here and _results(each).items() <= here[each["study_name"]].items() for each in packed
    )
    return Presence.PRESENT if same else Presence.DIFFERENT


def add_studies(storage: RDBStorage, packed: Sequence[PackedStudy], store: str | None, experiment: str | None) -> None:
    """Adds packed studies in one transaction; call only if they are absent.

    Args:
        store: the address of the MLflow store that has their runs here, as `sweep.tracking.shown_store` gives it; None if none has.
        experiment: the id of their experiment in that store.

    Raises:
        DataError: they are not as `packed_studies` writes them.
    """
    try:
        with transaction(storage):
            for each in packed:
                study = optuna.create_study(
                    study_name=each["study_name"],
                    storage=storage,
                    direction="minimize",
                    pruner=optuna.pruners.NopPruner(),
                )
                for key, value in each["system_attrs"].items():
                    storage.set_study_system_attr(id_of(study), key, value)
                for key, value in _placed(each["user_attrs"], store, experiment).items():
                    study.set_user_attr(key, value)
                for trial in each["trials"]:
                    study.add_trial(_trial(trial))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the Optuna study in the archive cannot be read ({type(error).__name__}: {error})") from error


def checked_studies(contents: Any, name: str) -> list[PackedStudy]:
    """The studies that were read from a file, if they are all of one name.

    Raises:
        DataError: they are not.
    """
    try:
        if contents and all(
            each["study_name"].rpartition("@")[0] == name == each["user_attrs"]["name"] for each in contents
        ):
            return list(contents)
    except (KeyError, TypeError, AttributeError):
        pass
    raise DataError(f"the archive has no Optuna study of the name '{name}'")


def _studies(storage: RDBStorage, name: str) -> Iterator[optuna.Study]:
    for known in sorted(optuna.get_all_study_names(storage)):
        if known.rpartition("@")[0] == name:
            yield optuna.load_study(study_name=known, storage=storage)


def _packed(study: optuna.Study) -> PackedStudy:
    return {
        "study_name": study.study_name,
        "system_attrs": dict(system_attrs_of(study)),
        "user_attrs": study.user_attrs,
        "trials": [_packed_trial(trial) for trial in study.get_trials(deepcopy=False)],
    }


def _packed_trial(trial: FrozenTrial) -> dict[str, Any]:
    left_running = trial.state is TrialState.RUNNING
    interrupted = {INTERRUPTED: trial.user_attrs.get(INTERRUPTED, 0) + 1} if left_running else {}
    return {
        "state": (TrialState.WAITING if left_running else trial.state).name,
        "values": trial.values,
        "start": _text(trial.datetime_start),
        "complete": _text(trial.datetime_complete),
        "params": trial.params,
        "distributions": {name: distribution_to_json(each) for name, each in trial.distributions.items()},
        "user_attrs": {**trial.user_attrs, **interrupted},
        "system_attrs": trial.system_attrs,
        "intermediate": {str(step): value for step, value in trial.intermediate_values.items()},
    }


def _trial(packed: Mapping[str, Any]) -> FrozenTrial:
    return FrozenTrial(
        number=-1,  # the storage gives it, in the order of adding
        state=TrialState[packed["state"]],
        value=None,
        values=packed["values"],
        datetime_start=_time(packed["start"]),
        datetime_complete=_time(packed["complete"]),
        params=packed["params"],
        distributions={name: json_to_distribution(text) for name, text in packed["distributions"].items()},
        user_attrs=packed["user_attrs"],
        system_attrs=packed["system_attrs"],
        intermediate_values={int(step): value for step, value in packed["intermediate"].items()},
        trial_id=-1,
    )


def _results(packed: PackedStudy) -> dict[str, str]:
    """What was measured, by the place where it is stored: it does not change once it is there."""
    trials = {str(number): trial["user_attrs"].get(RESULT) for number, trial in enumerate(packed["trials"])}
    measured = {name: value for name, value in packed["user_attrs"].items() if "/trial/" in name}
    return {name: _measured(value) for name, value in {**trials, **measured}.items() if value is not None}


def _measured(result: Mapping[str, Any]) -> str:
    """A result as text, since NaN does not equal itself; without when it was stored and where it was recorded."""
    return json.dumps({key: value for key, value in result.items() if key not in ("saved", "run_id")}, sort_keys=True)


def _placed(attributes: Mapping[str, Any], store: str | None, experiment: str | None) -> dict[str, Any]:
    """The user attributes as they are where the records are in the databases under `mlruns`."""
    placed = dict(attributes)
    # an address of the other machine would lead the study's command, and those of its report, back to it
    elsewhere = [("storage", "url"), *([("tracking", "uri")] if store is not None else [])]
    if isinstance(placed.get("config"), str):
        placed["config"] = _config_without(placed["config"], elsewhere)
    if isinstance(placed.get("command"), str):
        keys = tuple(f"{section}.{key}=" for section, key in elsewhere)
        words = shlex.split(placed["command"])
        # Hydra also takes `+key=` and `++key=`
        kept = [word for word in words if not word.lstrip("+").startswith(keys)]
        if kept != words:
            placed["command"] = shlex.join(kept)
    if store is not None and isinstance(placed.get(RECORDING), dict):
        placed[RECORDING] = {**placed[RECORDING], "store": store}
    if experiment is not None and "#/experiments/" in str(placed.get(RUN_PAGE) or ""):
        placed[RUN_PAGE] = f"#/experiments/{experiment}/runs/{{run}}"
    return placed


def _config_without(text: str, keys: Sequence[tuple[str, str]]) -> str:
    """A configuration in which these keys of sections have their default, null; unchanged if they have it."""
    config = yaml.safe_load(text)
    given = [(section, key) for section, key in keys if (config.get(section) or {}).get(key) is not None]
    for section, key in given:
        config[section][key] = None
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if given else text


def _text(time: datetime.datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)
