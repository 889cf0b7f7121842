"""Studies read back from Optuna's database, as the records that reports and verdicts are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import RDBStorage

from sweep.errors import ConfigurationError
from sweep.records import Declaration, StudyRecord
from sweep.study.certified import certification_of
from sweep.study.importances import importances_of
from sweep.study.ledger import Ledger, record_from_json
from sweep.suggest import did_you_mean


def studies_of(storage: RDBStorage, name: str) -> list[StudyRecord]:
    """The records of all Optuna studies of this name, the one opened last first.

    Raises:
        ConfigurationError: there is none; the text says which there are.
    """
    # other people's studies may be in the database, and what a killed call of an earlier version left
    summaries = [summary for summary in storage.get_all_studies() if "identity" in summary.user_attrs]
    names = sorted({summary.study_name.rpartition("@")[0] for summary in summaries} - {""})
    chosen = [summary for summary in summaries if summary.study_name.rpartition("@")[0] == name]
    if not chosen:
        known = f"known: {', '.join(names)}" if names else "there is none yet; run `python -m sweep +study=pharma`"
        raise ConfigurationError(f"study={name}: there is no such study here{did_you_mean(name, names)} ({known})")
    chosen.sort(key=lambda summary: summary.user_attrs.get("opened", 0.0), reverse=True)
    studies = [optuna.load_study(study_name=summary.study_name, storage=storage) for summary in chosen]
    return [record_of(study, Ledger(study.get_trials(deepcopy=False)), importances_of(study)) for study in studies]


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
        base=record_from_json(-1, attributes["base"]) if "base" in attributes else None,
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
    )
