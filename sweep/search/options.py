"""The options of samplers and pruners, checked before a model is loaded or anything is written."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from sweep.errors import ConfigurationError
from sweep.records import Search, Training

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

_TRIALS = 14
"""Enough for every sampler to get past its random startup trials, unless its options ask for more of them."""


def option_problems(search: Search, training: Training) -> tuple[str, ...]:
    """What is wrong with `search.sampler_options` and `search.pruner_options`; empty if Optuna accepts them.

    Optuna checks some values only when it uses them, so this runs a few made-up trials.
    """
    from sweep.search.pruning import PRUNER_OPTIONS, make_pruner
    from sweep.search.samplers import SAMPLER_OPTIONS, make_sampler

    level = logging.getLogger("optuna").level
    logging.getLogger("optuna").setLevel(logging.ERROR)
    problems: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the study itself shows warnings
            for key, options in ((SAMPLER_OPTIONS, search.sampler_options), (PRUNER_OPTIONS, search.pruner_options)):
                try:
                    if key == SAMPLER_OPTIONS:
                        _try(make_sampler(search.sampler, options, seed=0), None, training.steps)
                    else:
                        _try(None, make_pruner(search.pruner, options, 1, training.steps), training.steps)
                except ConfigurationError as error:
                    problems += error.problems
                except Exception as error:  # any error here is due to the options
                    given = ", ".join(f"{name}={value}" for name, value in options.items())
                    problems.append(f"{key}: Optuna cannot work with {given}: {error}")
    finally:
        logging.getLogger("optuna").setLevel(level)
    return tuple(problems)


def _try(sampler: BaseSampler | None, pruner: BasePruner | None, last_step: int) -> None:
    """Runs a small study in memory."""
    import optuna

    study = optuna.create_study(sampler=sampler or optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    for number in range(_TRIALS):
        trial = study.ask()
        loss = trial.suggest_float("rate", 1e-3, 1e-2, log=True) + trial.suggest_int("rank", 1, 5)
        trial.suggest_categorical("targets", ["a", "b"])
        for step in sorted({1, max(1, last_step // 2)}):
            trial.report(loss + number, step)
            trial.should_prune()
        study.tell(trial, loss)
