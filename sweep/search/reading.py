"""Studies read back from Optuna's database, as the records that reports and verdicts are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import RDBStorage

from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.records import Declaration, StudyRecord
from sweep.search.certified import certification_of
from sweep.search.importances import importances_of
from sweep.search.ledger import Ledger, record_from_json, rescored_in


def study_names(storage: RDBStorage) -> list[str]:
    """The names of all studies that can be read."""
    return sorted({_name(study) for study in _opened(storage)} - {""})


def studies_of(storage: RDBStorage, name: str) -> list[StudyRecord]:
    """The records of all Optuna studies of this name, the one opened last first.

    Raises:
        ConfigurationError: there is none; the text says which there are.
    """
    opened = {study: time for study, time in _opened(storage).items() if _name(study) == name}
    if not opened:
        names = study_names(storage)
        known = f"known: {', '.join(names)}" if names else "there is none yet; run `python -m sweep +study=pharma`"
        raise ConfigurationError(f"study={name}: there is no such study here{did_you_mean(name, names)} ({known})")
    last_first = sorted(opened, key=lambda study: opened[study], reverse=True)
    return [_record(optuna.load_study(study_name=study, storage=storage)) for study in last_first]


def _record(study: optuna.Study) -> StudyRecord:
    ledger = Ledger(study.get_trials(deepcopy=False), rescored_in(study.user_attrs))
    return record_of(study, ledger, importances_of(study))


def _opened(storage: RDBStorage) -> dict[str, float]:
    """When each Optuna study of ours was opened last.

    Other people's studies may be in the database, and parts of one that a killed call of an earlier version left: the time of
    opening was written last.
    """
    summaries = storage.get_all_studies()
    return {each.study_name: each.user_attrs["opened"] for each in summaries if "opened" in each.user_attrs}


def _name(study: str) -> str:
    return study.rpartition("@")[0]


def record_of(study: optuna.Study, ledger: Ledger, importances: Mapping[str, float]) -> StudyRecord:
    """The record of a study, given what is known of its trials."""
    attributes: dict[str, Any] = study.user_attrs
    declaration = dict(attributes["declaration"])
    return StudyRecord(
        name=attributes["name"],
        identity=attributes["identity"],
        model=attributes["model"],
        task=attributes["task"],
        metric=attributes["metric"],
        base=record_from_json(-1, attributes["base"]).evaluated() if "base" in attributes else None,
        trials=ledger.ended,
        interrupted=ledger.interrupted,
        planned=attributes["planned"],
        declaration=Declaration(**{**declaration, "ladder": tuple(declaration["ladder"])}),
        data_hash=attributes["data_hash"],
        target_sets={name: tuple(modules) for name, modules in attributes["target_sets"].items()},
        config=attributes["config"],
        command=attributes["command"],
        certification=certification_of(study),
        run_page=attributes.get("run_page"),
        importances=importances,
        parallel=attributes.get("parallel", 1),
        available=attributes.get("available", {}),
    )
