"""TPE in a search over methods: first the method, then its own parameters.

Optuna's TPE with `group=True` also draws parameters of a part of the trials jointly, but takes as good ones the best trials of all methods:
where one method leads, none of the others' trials is among them, and their parameters are drawn as if no trial had been made. Here a
method's parameters are modelled on its own trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from sweep.search.conditional import METHOD
from sweep.search.optuna_internals import PartOfStudy
from sweep.search.samplers import (
    DEFAULTS,
    SAMPLER_OPTIONS,
    BestTrials,
    check_names,
    construct,
    make_sampler,
    window_of,
    windowed,
)

_FEWEST_OF_A_METHOD = 2
"""Trials of a method before its parameters are modelled, at least."""


class MethodFirstTPE(BaseSampler):
    """TPE for the method by all trials, and TPE for its parameters, jointly, by its trials; random draws until there are enough.

    Args:
        choice: for the method.
        within: for the parameters of a method.
        start: for what is drawn at random.
    """

    def __init__(self, choice: TPESampler, within: TPESampler, start: RandomSampler) -> None:
        self._choice = choice
        self._within = within
        self._start = start

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters of all methods; `sample_relative` draws those of one."""
        return {name: each for one in study.get_trials(deepcopy=False) for name, each in one.distributions.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A method and values of its parameters; what is missing is drawn at random."""
        every = windowed(study, BestTrials())
        choice = {name: each for name, each in search_space.items() if name == METHOD}
        drawn = self._choice.sample_relative(every, trial, choice)
        if not drawn:
            return {}
        own = PartOfStudy(study, lambda trials: window_of(_of_method(trials, drawn[METHOD]), BestTrials()))
        space = self._within.infer_relative_search_space(own, trial)
        space.pop(METHOD, None)
        return {**drawn, **self._within.sample_relative(own, trial, space)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value."""
        return self._start.sample_independent(study, trial, param_name, param_distribution)


def make_sampler_over_methods(name: str, options: Mapping[str, Any], seed: int, methods: int) -> BaseSampler:
    """A sampler of a search over methods, seeded; see `samplers.make_sampler`.

    Args:
        methods: how many there are.

    Raises:
        ConfigurationError: the sampler does not have an option, or rejects its value.
    """
    by_optuna = name != "tpe" or options.get("group") or options.get("multivariate", True) is False
    if by_optuna:
        return make_sampler(name, options, seed)
    check_names(SAMPLER_OPTIONS, name, TPESampler, options)
    arguments = {**DEFAULTS["tpe"], **options}
    startup = max(_FEWEST_OF_A_METHOD, math.ceil(arguments["n_startup_trials"] / methods))
    choice = construct(SAMPLER_OPTIONS, TPESampler, {**arguments, "seed": seed})
    others = {"seed": (seed + 1) % 2**32, "n_startup_trials": startup}
    within = construct(SAMPLER_OPTIONS, TPESampler, {**arguments, **others})
    return MethodFirstTPE(choice, within, RandomSampler(seed=seed))


def _of_method(trials: Sequence[FrozenTrial], method: str) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.params.get(METHOD) == method]
