"""Pruning that compares arms of one rank only.

Low ranks keep up at first and fall behind later, so ranks are never pruned against other ranks. Each rank has a study of
its own in memory, in which Optuna's pruner sees that rank's trials and no others; reports are passed on to it, and after
a restart they are replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from sweep.records import Status, TrialResult
from sweep.search.samplers import check_options, made

_CLASSES: Mapping[str, str] = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "wilcoxon": "WilcoxonPruner",
}


def make_pruner(name: str, options: Mapping[str, Any], first_report: int, last_step: int) -> BasePruner:
    """Optuna's pruner; the resources of Hyperband are optimizer steps, from the first report to the last step.

    Raises:
        ConfigurationError: an option is unknown to the pruner, or has a value that it does not take.
    """
    kind = getattr(optuna.pruners, _CLASSES[name])
    check_options("search.pruner_options", name, kind, options)
    # few trials of one rank come before a decision, so Optuna's own defaults would hardly ever prune
    defaults: dict[str, dict[str, Any]] = {
        "median": {"n_startup_trials": 2},
        "percentile": {"percentile": 50.0, "n_startup_trials": 2},
        "wilcoxon": {"p_threshold": 0.1, "n_startup_steps": 2},
        "hyperband": {"min_resource": max(1, first_report), "max_resource": max(1, last_step), "reduction_factor": 2},
    }
    return made("search.pruner_options", kind, {**defaults.get(name, {}), **options})  # type: ignore[no-any-return]


class SameRankPruner:
    """Decides for each report whether the trial should stop, by other trials of the same rank."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner
        self._studies: dict[int, optuna.Study] = {}
        self._running: dict[int, optuna.Trial] = {}

    def replay(self, ended: Iterable[TrialResult]) -> None:
        """Takes in trials of earlier calls, in the order in which they were asked for."""
        for number, result in enumerate(ended):
            self.finish(-number - 1, result)

    def should_prune(self, number: int, rank: int, step: int, loss: float) -> bool:
        """Whether trial `number` should stop after reporting this loss at this step."""
        if number not in self._running:
            if rank not in self._studies:
                name = f"rank-{rank}"
                self._studies[rank] = optuna.create_study(study_name=name, direction="minimize", pruner=self._pruner)
            self._running[number] = self._studies[rank].ask()
        trial = self._running[number]
        trial.report(loss, step)
        return trial.should_prune()

    def finish(self, number: int, result: TrialResult) -> None:
        """Takes in how the trial ended, and its reports if it was trained by an earlier call; one without reports does not count."""
        if number not in self._running:
            for report in result.reports:
                self.should_prune(number, result.spec.rank, report.step, report.loss)
        trial = self._running.pop(number, None)
        if trial is None:
            return
        study = self._studies[result.spec.rank]
        if result.measures is not None:
            # where the pruner compares by step (Wilcoxon), the last value stands at the last step
            trial.report(result.measures.loss, result.spec.training.steps)
            study.tell(trial, result.measures.loss)
        else:
            study.tell(trial, state=TrialState.PRUNED if result.status is Status.PRUNED else TrialState.FAIL)
