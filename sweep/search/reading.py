"""Studies read from Optuna's database as records, which reports and verdicts are made from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.console.command_line import pasteable
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.records import StudyRecord, declaration_from_json
from sweep.records.study import USUAL_EXAMPLE_WORK
from sweep.search.certification import read_certification
from sweep.search.conditional import METHOD, own_values
from sweep.search.stored_trials import TrialLog, record_from_json, rescored_results

FEWEST_TRIALS = 6
"""Parameter importances need at least this many complete trials."""


def study_names(storage: RDBStorage) -> list[str]:
    """The names of all studies that can be read."""
    return sorted({_name(study) for study in _times_opened(storage)} - {""})


def studies_of(storage: RDBStorage, name: str) -> list[StudyRecord]:
    """The records of all Optuna studies of this name, the one opened last first.

    Raises:
        ConfigurationError: there is none; the message lists the existing ones.
    """
    opened = {study: time for study, time in _times_opened(storage).items() if _name(study) == name}
    if not opened:
        names = study_names(storage)
        start = pasteable("python -m sweep +study=pharma")
        known = f"known: {', '.join(names)}" if names else f"there is none yet; run `{start}`"
        raise ConfigurationError(f"study={name}: there is no such study here{did_you_mean(name, names)} ({known})")
    last_first = sorted(opened, key=lambda study: opened[study], reverse=True)
    return [_read(optuna.load_study(study_name=study, storage=storage)) for study in last_first]


def study_of(storage: RDBStorage, name: str) -> StudyRecord:
    """The record that stands for a study: of all of this name, the one opened last that has a complete trial.

    A study that was opened with another search space or data set, and has no complete trial yet, has no answer; the reports and
    the adapter are still those of the earlier one.

    Raises:
        ConfigurationError: there is none; the message lists the existing ones.
    """
    records = studies_of(storage, name)
    return next((record for record in records if record.best() or _is_certified(record)), records[0])


def _is_certified(record: StudyRecord) -> bool:
    """Whether a step of its ladder has a result, for studies that search nothing."""
    return record.certification is not None and bool(record.certification.complete_ranks())


@dataclass(frozen=True, slots=True)
class Importances:
    """`StudyRecord.importances` and `StudyRecord.method_importances`."""

    all: Mapping[str, float] = field(default_factory=dict)
    by_method: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def record_of(study: optuna.Study, log: TrialLog, importances: Importances) -> StudyRecord:
    """The record of a study, given the log of its trials."""
    attributes: dict[str, Any] = study.user_attrs
    return StudyRecord(
        name=attributes["name"],
        identity=attributes["identity"],
        model=attributes["model"],
        task=attributes["task"],
        metric=attributes["metric"],
        base=record_from_json(-1, attributes["base"]).evaluated() if "base" in attributes else None,
        trials=log.ended,
        interrupted=log.interrupted,
        planned=attributes["planned"],
        declaration=declaration_from_json(attributes["declaration"]),
        data_hash=attributes["data_hash"],
        target_sets={name: tuple(modules) for name, modules in attributes["target_sets"].items()},
        config=attributes["config"],
        command=attributes["command"],
        certification=read_certification(study),
        run_page=attributes.get("run_page"),
        importances=importances.all,
        parallel=attributes.get("parallel", 1),
        available=attributes.get("available", {}),
        seen_before={split: (rows, of) for split, (rows, of) in attributes.get("seen_before", {}).items()},
        example_work=attributes.get("example_work", USUAL_EXAMPLE_WORK),
        method_importances=importances.by_method,
    )


def importances_of(study: optuna.Study) -> Importances:
    """The importance of each searched parameter, as its share of the total; the largest first, empty with too few trials.

    It says how much a parameter decides whether a trial is among the best (PED-ANOVA: Watanabe et al. 2023,
    https://arxiv.org/abs/2304.10255); in a search over methods, among the best of its method.
    """
    trials = study.get_trials(deepcopy=False)
    named = dict.fromkeys(trial.params[METHOD] for trial in trials if METHOD in trial.params)
    if not named:
        return Importances(all=_importances(study))
    return Importances(by_method={name: _importances(_of_method(trials, name)) for name in named})


def _of_method(trials: Sequence[FrozenTrial], method: str) -> optuna.Study:
    """A study in memory of one method's complete trials, with its own parameters under their plain names."""
    alone = optuna.create_study(direction="minimize")
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.params.get(METHOD) == method:
            ranges = {name.removeprefix(f"{method}/"): each for name, each in trial.distributions.items()}
            values = own_values(trial.params, method)
            alone.add_trial(
                create_trial(params=dict(values), distributions={n: ranges[n] for n in values}, value=trial.value)
            )
    return alone


def _importances(study: optuna.Study) -> Mapping[str, float]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    varied = [
        name
        for name in (complete[0].params if complete else {})
        if len({trial.params.get(name) for trial in complete}) > 1
    ]
    if len(complete) < FEWEST_TRIALS or not varied:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    evaluator = PedAnovaImportanceEvaluator(evaluate_on_local=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        found = get_param_importances(study, evaluator=evaluator, params=varied)
    # told that too many trials are equally good: then no parameter decides anything, and the shares would all be the same
    return {} if told else found


def _read(study: optuna.Study) -> StudyRecord:
    log = TrialLog(study.get_trials(deepcopy=False), rescored_results(study.user_attrs))
    return record_of(study, log, importances_of(study))


def _times_opened(storage: RDBStorage) -> dict[str, float]:
    """When each Optuna study of ours was opened last.

    The database may also hold other people's studies, and incomplete ones from killed runs of earlier versions, which wrote the
    time of opening last.
    """
    summaries = storage.get_all_studies()
    return {each.study_name: each.user_attrs["opened"] for each in summaries if "opened" in each.user_attrs}


def _name(study: str) -> str:
    return study.rpartition("@")[0]
