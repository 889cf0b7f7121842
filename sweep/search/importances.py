"""Which searched parameters the loss depends on."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState

FEWEST_TRIALS = 6
"""With fewer complete trials nothing is said."""


def importances_of(study: optuna.Study) -> Mapping[str, float]:
    """Share of each parameter in what makes a trial one of the best (PED-ANOVA: Watanabe et al. 2023,
    https://arxiv.org/abs/2304.10255), the largest first; empty where there are too few trials to tell.
    """
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
    return get_param_importances(study, evaluator=evaluator, params=varied)
