"""The Optuna study of the explore stage: opens it, asks for arms, reports and tells results, and reads it as a record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.console.command_line import command_line
from sweep.errors import StudyBusy
from sweep.records import Arm, Status, StudyPlan, StudyRecord, TrialRecord, TrialResult, to_json
from sweep.search.cached_study import CachedStudy, requeue
from sweep.search.certification import StoredCertification
from sweep.search.conditional import arm_at, first_points, grid_points, suggest
from sweep.search.method_first import make_sampler_over_methods
from sweep.search.moving import RECORDING
from sweep.search.optuna_internals import id_of, stale_trials
from sweep.search.patience import written
from sweep.search.pruning import SameRankPruner, make_pruner
from sweep.search.reading import Importances, importances_of, record_of
from sweep.search.samplers import Grid, SamplerState, make_sampler
from sweep.search.space import LEARNING_RATE, LOG2_RANK, choices
from sweep.search.storage import HEARTBEAT_SECONDS
from sweep.search.stored_trials import (
    OWNER,
    RESCORED,
    RESULT,
    TrialLog,
    record_from_json,
    record_to_json,
    rescored_results,
    was_interrupted,
)
from sweep.store.locks import is_left, this_process

_STATES = {
    Status.COMPLETE: None,  # Optuna takes it from the value
    Status.PRUNED: TrialState.PRUNED,
    Status.INFEASIBLE: TrialState.PRUNED,  # samplers should avoid arms that do not fit into memory
}
"""Optuna's state for each way a trial can end; other trials fail, which samplers ignore."""

_RETRY_OF = "retry_of"
"""User attribute of earlier versions: the number of the interrupted trial that an enqueued trial repeats."""

_BASE_ON_CERTIFY = "base_on_certify"
"""User attribute of the study, see `SearchStudy.base_on_certify`."""

_SLOT_TIMINGS = "slot_timings"
"""User attribute of the study, see `SearchStudy.slot_timings`."""


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """A trial that Optuna proposed."""

    trial: optuna.Trial
    arm: Arm

    @property
    def number(self) -> int:
        """The trial's number in the Optuna study."""
        return self.trial.number


class SearchStudy:
    """The Optuna study of a plan under one identity. A changed space or data set makes another Optuna study of the same name.

    Args:
        identity: see `sweep.store.identity.study_identity`.

    Attributes:
        requeued: the number of trials that a killed run left running; they will run again.

    Raises:
        StudyBusy: another machine is running trials of the study.
        ConfigurationError: a sampler or pruner option is unknown.
    """

    def __init__(self, plan: StudyPlan, storage: RDBStorage, identity: str, data_hash: str) -> None:
        self._plan = plan
        self.identity = identity
        search = plan.search
        self._sampler_state = SamplerState()
        self._sampler(seed=0)  # checks the options before the study is created
        pruner = make_pruner(search.pruner, search.pruner_options, self.report_every, plan.training.steps)
        self._study, self.requeued = _open(plan, storage, identity, data_hash)
        trials = self._study.get_trials(deepcopy=False)
        self._log = TrialLog(trials, rescored_results(self._study.user_attrs))
        self._cached = CachedStudy(self._study, storage)
        self._grid = Grid(grid_points(plan) if search.sampler == "grid" else [], trials)
        self._pruner = SameRankPruner(pruner, methods=bool(plan.methods))
        self._pruner.replay(trial.result for trial in self._log.ended)
        self._importances: tuple[int, Importances] = (-1, Importances())
        self._last_heartbeat = 0.0

    @property
    def report_every(self) -> int:
        """Optimizer steps between reports to the pruner; 0 without a pruner."""
        if self._plan.search.pruner == "none":
            return 0
        return max(1, self._plan.training.steps // (self._plan.search.reports + 1))

    @property
    def remaining(self) -> int:
        """How many trials can still be asked for; `search.trials` is a total across runs."""
        left = self._plan.search.trials - self._log.count - len(self._log.running)
        if self._plan.search.sampler == "grid":
            left = min(left, self._cached.waiting + len(self._grid.unvisited()))
        return max(0, left)

    @property
    def ended(self) -> tuple[TrialRecord, ...]:
        """The trials that count, in the order in which they began."""
        return self._log.ended

    def ask(self) -> AskedTrial:
        """The next trial: interrupted ones first, then the first arms, then the sampler's proposals."""
        if self._plan.search.sampler == "grid" and not self._cached.waiting:
            self._cached.enqueue(self._grid.unvisited()[0])
        seed = (self._plan.seed * 1_000_003 + self._log.count + len(self._log.running)) % 2**32
        trial = self._cached.ask(self._sampler(seed), partial(suggest, plan=self._plan), {OWNER: this_process()})
        self._log.begin(trial.number)
        self._grid.visit(trial.params)
        return AskedTrial(trial, arm_at(trial.params, self._plan))

    def report(self, asked: AskedTrial, step: int, loss: float) -> bool:
        """Reports an intermediate loss to the pruner; returns whether to stop the trial."""
        self._cached.report(asked.trial, step, loss)
        return self._pruner.should_prune(asked.number, asked.arm, step, loss)

    def tell(self, asked: AskedTrial, result: TrialResult, run_id: str | None) -> None:
        """Stores how a trial ended. It counts from then on, unless it was interrupted."""
        if result.status is Status.INTERRUPTED:
            self.interrupt(asked)
            return
        record = TrialRecord(asked.number, result, run_id)
        self._cached.tell(
            asked.trial,
            record.loss if record.is_complete else None,
            _STATES.get(result.status, TrialState.FAIL),
            {RESULT: record_to_json(result, run_id)},
        )
        self._log.end(record)
        self._pruner.finish(asked.number, result)

    def interrupt(self, asked: AskedTrial) -> None:
        """Puts a running trial back into the queue: it is the next to be asked for, with the same number and values."""
        self._cached.interrupt(asked.trial)
        self._log.interrupt(asked.number)
        self._pruner.forget(asked.number)

    def record_heartbeats(self) -> None:
        """Shows other machines that the running trials are alive; call it often."""
        if time.monotonic() - self._last_heartbeat < HEARTBEAT_SECONDS:
            return
        self._last_heartbeat = time.monotonic()
        for number in self._log.running:
            self._cached.record_heartbeat(number)

    def record(self) -> StudyRecord:
        """The study as a record."""
        # importances take a second or more with many trials, and the certify stage, which adds none, reads the record often
        if self._importances[0] != self._log.count:
            self._importances = (self._log.count, importances_of(self._cached.copy))
        return record_of(self._study, self._log, self._importances[1])

    def certification(self, recipe: Arm) -> StoredCertification:
        """The stored certification of a recipe, begun or not, with the ladder that the plan declares."""
        declared = self._plan.declaration
        return StoredCertification(self._study, recipe, declared.cut_from, declared if declared.arms else None)

    def set_base(self, record: TrialRecord) -> None:
        """Stores the unadapted base's result on tune."""
        self._study.set_user_attr("base", record_to_json(record.result, record.run_id))

    @property
    def base_on_certify(self) -> TrialRecord | None:
        """The unadapted base on certify, if it was evaluated before there was a certification that it could be stored in."""
        stored = self._study.user_attrs.get(_BASE_ON_CERTIFY)
        return record_from_json(-1, stored) if stored is not None else None

    def set_base_on_certify(self, record: TrialRecord) -> None:
        """Stores the unadapted base's result on certify."""
        self._study.set_user_attr(_BASE_ON_CERTIFY, record_to_json(record.result, record.run_id))

    def replace_trial(self, record: TrialRecord) -> None:
        """Replaces the result of a trial that was evaluated again."""
        self._study.set_user_attr(f"{RESCORED}{record.number}", record_to_json(record.result, record.run_id))
        self._log.replace(record)

    def set_available(self, examples: Mapping[str, int]) -> None:
        """Stores the number of examples of each split, see `StudyRecord.available`."""
        self._study.set_user_attr("available", dict(examples))

    def set_seen_before(self, rows: Mapping[str, tuple[int, int]]) -> None:
        """Stores how many rows are left out of judging, see `StudyRecord.seen_before`."""
        self._study.set_user_attr("seen_before", dict(rows))

    def set_example_work(self, work: float) -> None:
        """Stores what a certify example costs, see `StudyRecord.example_work`."""
        self._study.set_user_attr("example_work", work)

    def set_parallel(self, trials: int) -> None:
        """Stores how many trials run at the same time, see `StudyRecord.parallel`."""
        self._study.set_user_attr("parallel", trials)

    @property
    def slot_timings(self) -> dict[str, dict[int, float]]:
        """By the name of a device, the seconds of a training step by number of slots; empty if none were measured."""
        stored = self._study.user_attrs.get(_SLOT_TIMINGS, {})
        return {device: {int(slots): float(spent) for slots, spent in own.items()} for device, own in stored.items()}

    def set_slot_timings(self, device: str, timings: Mapping[int, float]) -> None:
        """Stores what a worker measured on a device; nothing if it is empty or known."""
        known = self.slot_timings
        if timings and known.get(device) != timings:
            stored = {**known, device: dict(timings)}
            self._study.set_user_attr(
                _SLOT_TIMINGS,
                {name: {str(slots): spent for slots, spent in own.items()} for name, own in stored.items()},
            )

    def set_run_page(self, page: str | None) -> None:
        """Stores the address of the trials' MLflow runs, see `StudyRecord.run_page`."""
        self._study.set_user_attr("run_page", page)

    @property
    def recording(self) -> Mapping[str, Any] | None:
        """What `set_recording` stored last."""
        stored: Mapping[str, Any] | None = self._study.user_attrs.get(RECORDING)
        return stored

    def set_recording(self, state: Mapping[str, Any]) -> None:
        """Stores what MLflow has of the study as a whole; plain JSON types."""
        self._study.set_user_attr(RECORDING, dict(state))

    def _sampler(self, seed: int) -> BaseSampler:
        search, methods = self._plan.search, len(self._plan.methods)
        if methods:
            return make_sampler_over_methods(search.sampler, search.sampler_options, seed, methods)
        return make_sampler(search.sampler, search.sampler_options, seed, self._sampler_state)


def _open(plan: StudyPlan, storage: RDBStorage, identity: str, data_hash: str) -> tuple[optuna.Study, int]:
    """Creates or loads the Optuna study in one transaction; afterwards no trial of it is running.

    Returns the study and the number of trials that a killed run left running.

    Raises:
        StudyBusy: another machine is running trials of the study.
    """

    def opened(again: bool) -> tuple[optuna.Study, int]:
        name, pruner = f"{plan.name}@{identity}", optuna.pruners.NopPruner()
        if name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        else:
            study = optuna.create_study(study_name=name, storage=storage, pruner=pruner, direction="minimize")
        requeued = _requeue_abandoned(study, storage, plan)
        _enqueue_first_arms(study, plan)
        _describe(study, plan, identity, data_hash)
        _enqueue_interrupted(study, plan)
        return study, requeued

    return written(storage, opened)


def _requeue_abandoned(study: optuna.Study, storage: RDBStorage, plan: StudyPlan) -> int:
    """Puts trials whose process has ended back into the queue; returns their number.

    Raises:
        StudyBusy: some trials are running elsewhere.
    """
    requeued, this, stale = 0, this_process(), stale_trials(study, storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner, database_id = str(trial.user_attrs.get(OWNER, "")), id_of(trial)
        if not owner or is_left(owner, this) or database_id in stale:
            requeue(storage, database_id)
            requeued += 1
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if running:
        owners = sorted({str(trial.user_attrs.get(OWNER, "unknown")) for trial in running})
        raise StudyBusy(
            f"trials of study '{plan.name}' are running elsewhere ({', '.join(owners)}); wait for them, or give "
            "this study another name: study.name=OTHER"
        )
    return requeued


def _enqueue_first_arms(study: optuna.Study, plan: StudyPlan) -> None:
    """Enqueues the first arms of a new study, or those that were added to `search.arms` since."""
    if "name" not in study.user_attrs or plan.search.arms:
        for point in first_points(plan):
            study.enqueue_trial(dict(point), skip_if_exists=True)


def _describe(study: optuna.Study, plan: StudyPlan, identity: str, data_hash: str) -> None:
    """Stores what the study is about."""
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
        # with `engine.slots=auto` a worker measures the number of slots; a run that trains nothing keeps the last one
        "parallel": study.user_attrs.get("parallel", plan.parallel) if plan.slots is None else plan.parallel,
        "config": plan.config,
        "command": command_line(),
        "opened": time.time(),
    }.items():
        study.set_user_attr(key, value)


def _enqueue_interrupted(study: optuna.Study, plan: StudyPlan) -> None:
    """Enqueues trials that earlier versions interrupted, each once and with the same values; they searched one method at a time."""
    if plan.methods:
        return
    space = plan.space
    trials = study.get_trials(deepcopy=False)
    parameters = {*([LOG2_RANK] if space.ranks else []), *choices(space), LEARNING_RATE}
    retried = {trial.user_attrs.get(_RETRY_OF) for trial in trials}
    for trial in trials:
        if was_interrupted(trial) and trial.params.keys() == parameters and trial.number not in retried:
            study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})
