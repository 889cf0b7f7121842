"""A study's Optuna study, made or found, and made ready: nothing in it is running, and what was interrupted waits.

All of that is one transaction, so a study is there as a whole or not at all.
"""

from __future__ import annotations

import time

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.console.command_line import command_line
from sweep.errors import StudyBusy
from sweep.records import StudyPlan, to_json
from sweep.search.ledger import OWNER, was_interrupted
from sweep.search.optuna_internals import id_of, stale_trials, transaction
from sweep.search.sampling import wait_again
from sweep.search.space import ALPHA_RATIO, DROPOUT, LEARNING_RATE, LOG2_RANK, TARGETS, first_points
from sweep.store.owner import is_left, this_process

_RETRY_OF = "retry_of"
"""The user attribute with which an earlier version enqueued an interrupted trial: its number."""

_PARAMETERS = {LOG2_RANK, ALPHA_RATIO, DROPOUT, TARGETS, LEARNING_RATE}


def opened_study(plan: StudyPlan, storage: RDBStorage, identity: str, data_hash: str) -> tuple[optuna.Study, int]:
    """The study under this identity, and how many trials of it a killed call had left running.

    Raises:
        StudyBusy: trials of it are alive on another machine.
    """
    with transaction(storage):
        name, pruner = f"{plan.name}@{identity}", optuna.pruners.NopPruner()
        if name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        else:
            study = optuna.create_study(study_name=name, storage=storage, pruner=pruner, direction="minimize")
        reaped = _reap(study, storage, plan)
        _remember(study, plan, identity, data_hash)
        _enqueue_interrupted(study)
    return study, reaped


def _reap(study: optuna.Study, storage: RDBStorage, plan: StudyPlan) -> int:
    """Has trials wait again whose process is gone; returns how many.

    Raises:
        StudyBusy: some are alive elsewhere.
    """
    reaped, hosted, stale = 0, this_process(), stale_trials(study, storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner, number = str(trial.user_attrs.get(OWNER, "")), id_of(trial)
        if not owner or is_left(owner, hosted) or number in stale:
            wait_again(storage, number)
            reaped += 1
    left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if left:
        owners = sorted({str(trial.user_attrs.get(OWNER, "unknown")) for trial in left})
        raise StudyBusy(
            f"trials of study '{plan.name}' are running elsewhere ({', '.join(owners)}); wait for them, or give "
            "this study another name: study.name=OTHER"
        )
    return reaped


def _remember(study: optuna.Study, plan: StudyPlan, identity: str, data_hash: str) -> None:
    """What the study is about, and the arms to begin with."""
    # a study that goes on takes arms that a person has added since; its defaults it has had
    if "name" not in study.user_attrs or plan.search.arms:
        for point in first_points(plan):
            study.enqueue_trial(dict(point), skip_if_exists=True)
    for key, value in {
        "name": plan.name,
        "identity": identity,
        "data_hash": data_hash,
        "model": plan.setup.model.name,
        "task": plan.setup.task.name,
        "metric": plan.setup.task.metric,
        "target_sets": {name: list(modules) for name, modules in plan.setup.model.target_sets.items()},
        "declaration": to_json(plan.declaration),
        "planned": plan.search.trials,
        # how many slots there are is known when a worker has said so; a call that trains nothing asks none
        "parallel": study.user_attrs.get("parallel", plan.parallel) if plan.slots is None else plan.parallel,
        "config": plan.config,
        "command": command_line(),
        "opened": time.time(),
    }.items():
        study.set_user_attr(key, value)


def _enqueue_interrupted(study: optuna.Study) -> None:
    """Trials that an earlier version interrupted are asked for again, each once, with the same values."""
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(_RETRY_OF) for trial in trials}
    for trial in trials:
        if was_interrupted(trial) and trial.params.keys() == _PARAMETERS and trial.number not in retried:
            study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})
