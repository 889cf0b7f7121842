"""The options of sampler and pruner, tried out before anything is loaded or written."""

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
"""Enough for every sampler to leave its first, random trials behind it where its options do not say more."""


def option_problems(search: Search, training: Training) -> tuple[str, ...]:
    """What is wrong with `search.sampler_options` and `search.pruner_options`; empty if Optuna works with them.

    Optuna looks at some values only when it uses them, so a few trials are made up.
    """
    from sweep.search.pruning import make_pruner
    from sweep.search.samplers import make_sampler

    level = logging.getLogger("optuna").level
    logging.getLogger("optuna").setLevel(logging.ERROR)
    problems: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the study itself says what is to be said
            for key, options in (
                ("search.sampler_options", search.sampler_options),
                ("search.pruner_options", search.pruner_options),
            ):
                try:
                    if key == "search.sampler_options":
                        _try(make_sampler(search.sampler, options, seed=0), None, training.steps)
                    else:
                        _try(None, make_pruner(search.pruner, options, 1, training.steps), training.steps)
                except ConfigurationError as error:
                    problems += error.problems
                # whatever Optuna stumbles over here comes of the options
                except Exception as error:
                    given = ", ".join(f"{name}={value}" for name, value in options.items())
                    problems.append(f"{key}: Optuna cannot work with {given}: {error}")
    finally:
        logging.getLogger("optuna").setLevel(level)
    return tuple(problems)


def _try(sampler: BaseSampler | None, pruner: BasePruner | None, last_step: int) -> None:
    """A study in memory."""
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
