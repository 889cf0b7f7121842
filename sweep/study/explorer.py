"""The Optuna study of the explore stage: asked for arms, told what came of them, and read back as a record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.command import command_line
from sweep.errors import ConfigurationError, StudyBusy
from sweep.owner import is_gone, this_process
from sweep.plan.space import (
    ALPHA_RATIO,
    DROPOUT,
    LEARNING_RATE,
    LOG2_RANK,
    TARGETS,
    Values,
    arm_of,
    first_points,
    grid_points,
    log2_ranks,
)
from sweep.records import (
    Arm,
    Declaration,
    Status,
    StudyPlan,
    StudyRecord,
    TrialRecord,
    TrialResult,
    loss_of,
    to_json,
    trial_result_from_json,
)
from sweep.study.certified import CertifiedTrials, certification_of
from sweep.study.histories import thinned
from sweep.study.importances import importances_of
from sweep.study.pruning import SameRankPruner, make_pruner
from sweep.study.samplers import make_sampler
from sweep.study.storage import HEARTBEAT_SECONDS
from sweep.suggest import did_you_mean

_RESULT, _STATUS, _OWNER, _RETRY_OF = "result", "status", "owner", "retry_of"
_STATE = {Status.PRUNED: TrialState.PRUNED, Status.INFEASIBLE: TrialState.PRUNED}


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial that Optuna has given out."""

    trial: optuna.Trial
    arm: Arm


class Explorer:
    """The study under one identity; a changed space or data set is another Optuna study of the same name.

    Args:
        identity: see `sweep.plan.identity.study_identity`.

    Raises:
        StudyBusy: trials of it are alive on another machine.
        ConfigurationError: a sampler or pruner option is unknown.
    """

    def __init__(self, plan: StudyPlan, storage: RDBStorage, identity: str, data_hash: str) -> None:
        self._plan = plan
        self._storage = storage
        make_sampler(plan.search.sampler, plan.search.sampler_options, seed=0)
        pruner = make_pruner(plan.search.pruner, plan.search.pruner_options, self.report_every, plan.training.steps)
        self._study = optuna.create_study(
            storage=storage,
            study_name=f"{plan.name}@{identity}",
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        self._hosted = this_process()
        self._last_beat = 0.0
        self.reaped = self._reap()
        self._remember(identity, data_hash)
        self._enqueue_interrupted()
        self._pruner = SameRankPruner(pruner)
        self._pruner.replay(trial.result for trial in self.ended())
        self._importances: tuple[int, Mapping[str, float]] = (-1, {})

    @property
    def report_every(self) -> int:
        """Optimizer steps between reports to the pruner; 0 if nothing is pruned."""
        if self._plan.search.pruner == "none":
            return 0
        return max(1, self._plan.training.steps // (self._plan.search.reports + 1))

    def remaining(self) -> int:
        """How many trials are left to ask for: counts are totals."""
        running = len(self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        left = self._plan.search.trials - len(self.ended()) - running
        if self._plan.search.sampler == "grid":
            waiting = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
            left = min(left, waiting + len(self._unvisited()))
        return max(0, left)

    def ask(self) -> Asked:
        """The next trial: interrupted ones and the first arms before the sampler's."""
        self._study.sampler = make_sampler(self._plan.search.sampler, self._plan.search.sampler_options, self._seed())
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if self._plan.search.sampler == "grid" and not waiting:
            self._study.enqueue_trial(dict(self._unvisited()[0]))
        trial = self._study.ask()
        trial.set_user_attr(_OWNER, self._hosted)
        self._storage.record_heartbeat(trial._trial_id)
        return Asked(trial, arm_of(self._suggest(trial), self._plan.arm))

    def report(self, asked: Asked, step: int, loss: float) -> bool:
        """Passes a report on; answers whether the trial should stop."""
        asked.trial.report(loss, step)
        return self._pruner.should_prune(asked.trial.number, asked.arm.rank, step, loss)

    def tell(self, asked: Asked, result: TrialResult, run_id: str | None) -> None:
        """Tells how the trial ended; from here on it counts (unless it was interrupted)."""
        trial = asked.trial
        trial.set_user_attr(_RESULT, {**to_json(result), "history": thinned(result.history), "run_id": run_id})
        trial.set_user_attr(_STATUS, result.status.value)
        if result.status is Status.COMPLETE:
            self._study.tell(trial, loss_of(result))
        else:
            # infeasible arms count as bad for the sampler (pruned at step 0), failed ones not at all
            self._study.tell(trial, state=_STATE.get(result.status, TrialState.FAIL))
        self._pruner.finish(trial.number, result)

    def beat(self) -> None:
        """Call often while trials run: lets others see that they are alive."""
        if time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(_OWNER) == self._hosted:
                self._storage.record_heartbeat(trial._trial_id)

    def ended(self) -> list[TrialRecord]:
        """The trials that count, in the order in which they were asked for."""
        return list(_ended(self._study))

    def remember_base(self, record: TrialRecord) -> None:
        """Keeps the unadapted base's result with the study."""
        self._study.set_user_attr("base", {**to_json(record.result), "history": [], "run_id": record.run_id})

    def remember_run_page(self, page: str | None) -> None:
        """Keeps where the trials' MLflow runs are, see `StudyRecord.run_page`."""
        self._study.set_user_attr("run_page", page)

    def remember_parallel(self, trials: int) -> None:
        """Keeps how many trials run at the same time, see `StudyRecord.parallel`."""
        self._study.set_user_attr("parallel", trials)

    def record(self) -> StudyRecord:
        """All that is known of the study."""
        # a second or more with many trials, and asked for at every step of the certify stage, which adds none
        ended = len(self.ended())
        if self._importances[0] != ended:
            self._importances = (ended, importances_of(self._study))
        return _record(self._study, self._importances[1])

    def certified(self, key: str) -> CertifiedTrials:
        """The certification under this identity, begun or not."""
        return CertifiedTrials(self._study, key)

    def is_current(self, key: str) -> bool:
        """Whether the certification under this identity is the study's."""
        return bool(self._study.user_attrs.get("certify") == key)

    def _seed(self) -> int:
        running = len(self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        return (self._plan.seed * 1_000_003 + len(self.ended()) + running) % 2**32

    def _suggest(self, trial: optuna.Trial) -> Values:
        space = self._plan.space
        lowest, highest, step = log2_ranks(space)
        return {
            LOG2_RANK: trial.suggest_int(LOG2_RANK, lowest, highest, step=step),
            ALPHA_RATIO: trial.suggest_categorical(ALPHA_RATIO, list(space.alpha_ratios)),
            DROPOUT: trial.suggest_categorical(DROPOUT, list(space.dropouts)),
            TARGETS: trial.suggest_categorical(TARGETS, list(space.targets)),
            LEARNING_RATE: trial.suggest_float(LEARNING_RATE, *space.learning_rate, log=True),
        }

    def _reap(self) -> int:
        """Ends trials whose process is gone; returns how many.

        Raises:
            StudyBusy: some are alive elsewhere.
        """
        reaped = 0
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = str(trial.user_attrs.get(_OWNER, ""))
            if not owner or owner == self._hosted or is_gone(owner):
                self._study.tell(trial.number, state=TrialState.FAIL)
                reaped += 1
        alive = len(self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        optuna.storages.fail_stale_trials(self._study)
        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if left:
            owners = sorted({str(trial.user_attrs.get(_OWNER, "unknown")) for trial in left})
            raise StudyBusy(
                f"trials of study '{self._plan.name}' are running elsewhere ({', '.join(owners)}); wait for them, or give "
                "this study another name: study.name=OTHER"
            )
        return reaped + alive - len(left)

    def _remember(self, identity: str, data_hash: str) -> None:
        # a study that goes on takes arms that a person has added since; its defaults it has had
        if "name" not in self._study.user_attrs or self._plan.search.arms:
            for point in first_points(self._plan):
                self._study.enqueue_trial(dict(point), skip_if_exists=True)
        plan = self._plan
        for key, value in {
            "name": plan.name,
            "identity": identity,
            "data_hash": data_hash,
            "model": plan.foundation.model.name,
            "task": plan.foundation.task.name,
            "metric": plan.foundation.task.metric,
            "target_sets": {name: list(modules) for name, modules in plan.foundation.model.target_sets.items()},
            "declaration": to_json(plan.declaration),
            "planned": plan.search.trials,
            "parallel": plan.parallel,
            "config": plan.config,
            "command": command_line(),
            "opened": time.time(),
        }.items():
            self._study.set_user_attr(key, value)

    def _enqueue_interrupted(self) -> None:
        """Interrupted trials are asked for again, each once, with the same values."""
        trials = self._study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(_RETRY_OF) for trial in trials}
        for trial in trials:
            whole = len(trial.params) == len((LOG2_RANK, ALPHA_RATIO, DROPOUT, TARGETS, LEARNING_RATE))
            if _was_interrupted(trial) and whole and trial.number not in retried:
                self._study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})

    def _unvisited(self) -> list[Values]:
        visited = [
            trial.params or trial.system_attrs.get("fixed_params", {})
            for trial in self._study.get_trials(deepcopy=False)
            if not _was_interrupted(trial)
        ]
        points = grid_points(self._plan.space, self._plan.search.grid_learning_rates, self._plan.seed)
        return [point for point in points if dict(point) not in visited]


def studies_of(storage: RDBStorage, name: str) -> list[StudyRecord]:
    """The records of all Optuna studies of this name, the one opened last first.

    Raises:
        ConfigurationError: there is none; the text says which there are.
    """
    summaries = storage.get_all_studies()
    names = sorted({summary.study_name.rpartition("@")[0] for summary in summaries} - {""})
    chosen = [summary for summary in summaries if summary.study_name.rpartition("@")[0] == name]
    if not chosen:
        known = f"known: {', '.join(names)}" if names else "there is none yet; run `python -m sweep +study=pharma`"
        raise ConfigurationError(f"study={name}: there is no such study here{did_you_mean(name, names)} ({known})")
    chosen.sort(key=lambda summary: summary.user_attrs.get("opened", 0.0), reverse=True)
    studies = [optuna.load_study(study_name=summary.study_name, storage=storage) for summary in chosen]
    return [_record(study, importances_of(study)) for study in studies]


def _record(study: optuna.Study, importances: Mapping[str, float]) -> StudyRecord:
    attributes: dict[str, Any] = study.user_attrs
    declaration = dict(attributes["declaration"])
    trials = study.get_trials(deepcopy=False)
    return StudyRecord(
        name=attributes["name"],
        identity=attributes["identity"],
        model=attributes["model"],
        task=attributes["task"],
        metric=attributes["metric"],
        base=_trial_record(-1, attributes["base"]) if "base" in attributes else None,
        trials=tuple(_ended(study)),
        interrupted=sum(_was_interrupted(trial) for trial in trials),
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


def _ended(study: optuna.Study) -> Iterator[TrialRecord]:
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished() and _RESULT in trial.user_attrs and not _was_interrupted(trial):
            yield _trial_record(trial.number, trial.user_attrs[_RESULT])


def _trial_record(number: int, data: dict[str, Any]) -> TrialRecord:
    return TrialRecord(number, trial_result_from_json(data), data.get("run_id"))


def _was_interrupted(trial: FrozenTrial) -> bool:
    """Ended without having come to an end: by a person, or because its process was killed."""
    status = trial.user_attrs.get(_STATUS)
    return trial.state.is_finished() and (status is None or status == Status.INTERRUPTED.value)
