"""Pruning that compares only arms of the same method and rank.

Low ranks keep up at first and fall behind later, so a trial is never compared with trials of another rank, nor with those of another
method. Each has its own Optuna study in memory, where the pruner sees only its trials. After a restart, stored reports are replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from sweep.records import Arm, Status, TrialResult
from sweep.search.samplers import check_names, construct

PRUNER_OPTIONS = "search.pruner_options"

_CLASSES: Mapping[str, str] = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "wilcoxon": "WilcoxonPruner",
}


def make_pruner(name: str, options: Mapping[str, Any], first_report: int, last_step: int) -> BasePruner:
    """Optuna's pruner; the resource of Hyperband is the optimizer step, from the first report to the last step.

    Raises:
        ConfigurationError: the pruner does not have an option, or rejects its value.
    """
    kind = getattr(optuna.pruners, _CLASSES[name])
    check_names(PRUNER_OPTIONS, name, kind, options)
    # a rank has few trials, so Optuna's own defaults would hardly ever prune
    defaults: dict[str, dict[str, Any]] = {
        "median": {"n_startup_trials": 2},
        "percentile": {"percentile": 50.0, "n_startup_trials": 2},
        "wilcoxon": {"p_threshold": 0.1, "n_startup_steps": 2},
        "hyperband": {"min_resource": max(1, first_report), "max_resource": max(1, last_step), "reduction_factor": 2},
    }
    return construct(PRUNER_OPTIONS, kind, {**defaults.get(name, {}), **options})  # type: ignore[no-any-return]


class SameRankPruner:
    """Decides at each report whether to stop a trial, by comparing it with trials of the same method and rank.

    Args:
        methods: whether the study has several methods.
    """

    def __init__(self, pruner: BasePruner, *, methods: bool = False) -> None:
        self._pruner = pruner
        self._methods = methods
        self._studies: dict[str, optuna.Study] = {}
        self._running: dict[int, optuna.Trial] = {}

    def replay(self, ended: Iterable[TrialResult]) -> None:
        """Adds trials of earlier runs, in the order in which they began."""
        for number, result in enumerate(ended):
            self.finish(-number - 1, result)

    def should_prune(self, number: int, arm: Arm, step: int, loss: float) -> bool:
        """Whether trial `number` should stop after reporting this loss at this step."""
        if number not in self._running:
            self._running[number] = self._study_of(arm).ask()
        trial = self._running[number]
        trial.report(loss, step)
        return trial.should_prune()

    def finish(self, number: int, result: TrialResult) -> None:
        """Adds the result of a trial, and its reports if an earlier run trained it; a trial without reports is ignored."""
        arm = result.spec.arm
        if number not in self._running and arm is not None:
            for report in result.reports:
                self.should_prune(number, arm, report.step, report.loss)
        trial = self._running.pop(number, None)
        if trial is None:
            return
        study = trial.study
        if result.measures is not None:
            # Wilcoxon compares values step by step, so the final loss needs a step of its own
            trial.report(result.measures.loss, result.spec.training.steps)
            study.tell(trial, result.measures.loss)
        else:
            study.tell(trial, state=TrialState.PRUNED if result.status is Status.PRUNED else TrialState.FAIL)

    def forget(self, number: int) -> None:
        """Drops a running trial that was interrupted."""
        trial = self._running.pop(number, None)
        if trial is not None:
            trial.study.tell(trial, state=TrialState.FAIL)

    def _study_of(self, arm: Arm) -> optuna.Study:
        # Hyperband assigns trials to its brackets by the name, so it stays as it was for one method
        name = f"{arm.method}-rank-{arm.rank}" if self._methods else f"rank-{arm.rank}"
        if name not in self._studies:
            self._studies[name] = optuna.create_study(study_name=name, direction="minimize", pruner=self._pruner)
        return self._studies[name]
