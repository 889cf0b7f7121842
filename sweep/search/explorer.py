"""The Optuna study of the explore stage: asked for arms, told what came of them, and read back as a record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sweep.records import Arm, Status, StudyPlan, StudyRecord, TrialRecord, TrialResult, loss_of
from sweep.search.certified import CertifiedTrials
from sweep.search.grid import Grid
from sweep.search.importances import importances_of
from sweep.search.ledger import OWNER, RESCORED, RESULT, Ledger, record_to_json, rescored_in
from sweep.search.opening import opened_study
from sweep.search.pruning import SameRankPruner, make_pruner
from sweep.search.reading import record_of
from sweep.search.samplers import SamplerMemory, make_sampler
from sweep.search.sampling import Sampling
from sweep.search.space import (
    ALPHA_RATIO,
    DROPOUT,
    LEARNING_RATE,
    LOG2_RANK,
    TARGETS,
    arm_of,
    grid_points,
    log2_ranks,
)
from sweep.search.storage import HEARTBEAT_SECONDS
from sweep.store.locks import this_process

_STATE = {Status.PRUNED: TrialState.PRUNED, Status.INFEASIBLE: TrialState.PRUNED}


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """A trial that Optuna has given out."""

    trial: optuna.Trial
    arm: Arm

    @property
    def number(self) -> int:
        """The trial's number in the Optuna study."""
        return self.trial.number


class Explorer:
    """The study under one identity; a changed space or data set is another Optuna study of the same name.

    Args:
        identity: see `sweep.store.identity.study_identity`.

    Attributes:
        reaped: how many trials a killed call had left running.

    Raises:
        StudyBusy: trials of it are alive on another machine.
        ConfigurationError: a sampler or pruner option is unknown.
    """

    def __init__(self, plan: StudyPlan, storage: RDBStorage, identity: str, data_hash: str) -> None:
        self._plan = plan
        make_sampler(plan.search.sampler, plan.search.sampler_options, seed=0)
        pruner = make_pruner(plan.search.pruner, plan.search.pruner_options, self.report_every, plan.training.steps)
        self._study, self.reaped = opened_study(plan, storage, identity, data_hash)
        trials = self._study.get_trials(deepcopy=False)
        self._ledger = Ledger(trials, rescored_in(self._study.user_attrs))
        self._sampling = Sampling(self._study, storage)
        search = plan.search
        points = grid_points(plan.space, search.grid_learning_rates, plan.seed) if search.sampler == "grid" else []
        self._grid = Grid(points, trials)
        self._pruner = SameRankPruner(pruner)
        self._pruner.replay(trial.result for trial in self._ledger.ended)
        self._importances: tuple[int, Mapping[str, float]] = (-1, {})
        self._lasting = SamplerMemory()
        self._last_beat = 0.0

    @property
    def report_every(self) -> int:
        """Optimizer steps between reports to the pruner; 0 if nothing is pruned."""
        if self._plan.search.pruner == "none":
            return 0
        return max(1, self._plan.training.steps // (self._plan.search.reports + 1))

    def remaining(self) -> int:
        """How many trials are left to ask for: counts are totals."""
        left = self._plan.search.trials - self._ledger.count - len(self._ledger.running)
        if self._plan.search.sampler == "grid":
            left = min(left, self._sampling.waiting + len(self._grid.unvisited()))
        return max(0, left)

    def ask(self) -> AskedTrial:
        """The next trial: interrupted ones and the first arms before the sampler's."""
        if self._plan.search.sampler == "grid" and not self._sampling.waiting:
            self._sampling.enqueue(self._grid.unvisited()[0])
        search = self._plan.search
        sampler = make_sampler(search.sampler, search.sampler_options, self._seed(), self._lasting)
        trial = self._sampling.ask(sampler, self._suggest, {OWNER: this_process()})
        self._ledger.begin(trial.number)
        self._grid.visit(trial.params)
        return AskedTrial(trial, arm_of(trial.params, self._plan.arm))

    def report(self, asked: AskedTrial, step: int, loss: float) -> bool:
        """Passes a report on; answers whether the trial should stop."""
        self._sampling.report(asked.trial, step, loss)
        return self._pruner.should_prune(asked.number, asked.arm.rank, step, loss)

    def tell(self, asked: AskedTrial, result: TrialResult, run_id: str | None) -> None:
        """Tells how the trial ended; from here on it counts (unless it was interrupted)."""
        complete = result.status is Status.COMPLETE
        if result.status is Status.INTERRUPTED:
            self._sampling.interrupt(asked.trial)
        else:
            self._sampling.tell(
                asked.trial,
                loss_of(result) if complete else None,
                # infeasible arms count as bad for the sampler (pruned at step 0), failed ones not at all
                None if complete else _STATE.get(result.status, TrialState.FAIL),
                {RESULT: record_to_json(result, run_id)},
            )
        self._ledger.end(asked.number, result, run_id)
        self._pruner.finish(asked.number, result)

    def beat(self) -> None:
        """Call often while trials run: lets others see that they are alive."""
        if time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        for number in self._ledger.running:
            self._sampling.beat(number)

    def ended(self) -> list[TrialRecord]:
        """The trials that count, in the order in which they were asked for."""
        return list(self._ledger.ended)

    def count(self) -> int:
        """How many trials count."""
        return self._ledger.count

    def remember_base(self, record: TrialRecord) -> None:
        """Keeps the unadapted base's result with the study."""
        self._study.set_user_attr("base", record_to_json(record.result, record.run_id))

    def remember_rescored(self, record: TrialRecord) -> None:
        """Keeps what came of a trial that was scored anew, in place of what came of it before."""
        self._study.set_user_attr(f"{RESCORED}{record.number}", record_to_json(record.result, record.run_id))
        self._ledger.rescored(record.number, record.result, record.run_id)

    def remember_available(self, examples: Mapping[str, int]) -> None:
        """Keeps how many examples of each split there are, see `StudyRecord.available`."""
        self._study.set_user_attr("available", dict(examples))

    def remember_run_page(self, page: str | None) -> None:
        """Keeps where the trials' MLflow runs are, see `StudyRecord.run_page`."""
        self._study.set_user_attr("run_page", page)

    @property
    def recording(self) -> Mapping[str, Any] | None:
        """What `remember_recording` kept last."""
        kept: Mapping[str, Any] | None = self._study.user_attrs.get("recording")
        return kept

    def remember_recording(self, state: Mapping[str, Any]) -> None:
        """Keeps what MLflow has of the study as a whole; plain JSON types."""
        self._study.set_user_attr("recording", dict(state))

    def remember_parallel(self, trials: int) -> None:
        """Keeps how many trials run at the same time, see `StudyRecord.parallel`."""
        self._study.set_user_attr("parallel", trials)

    def record(self) -> StudyRecord:
        """All that is known of the study."""
        # a second or more with many trials, and asked for at every step of the certify stage, which adds none
        if self._importances[0] != self._ledger.count:
            self._importances = (self._ledger.count, importances_of(self._sampling.study))
        return record_of(self._study, self._ledger, self._importances[1])

    def certified(self, recipe: Arm) -> CertifiedTrials:
        """The certification of this recipe, begun or not."""
        return CertifiedTrials(self._study, recipe)

    def _seed(self) -> int:
        return (self._plan.seed * 1_000_003 + self._ledger.count + len(self._ledger.running)) % 2**32

    def _suggest(self, trial: optuna.Trial) -> None:
        space = self._plan.space
        lowest, highest, step = log2_ranks(space)
        trial.suggest_int(LOG2_RANK, lowest, highest, step=step)
        trial.suggest_categorical(ALPHA_RATIO, list(space.alpha_ratios))
        trial.suggest_categorical(DROPOUT, list(space.dropouts))
        trial.suggest_categorical(TARGETS, list(space.targets))
        trial.suggest_float(LEARNING_RATE, *space.learning_rate, log=True)
