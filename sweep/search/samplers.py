"""Optuna's samplers by the names of the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial

from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.search.window import Best, window_on

_CLASSES: Mapping[str, str] = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
    # the grid's points are enqueued one by one, so this one is never asked: Optuna's own GridSampler cannot be mixed
    # with enqueued trials and stops a study in ways that only its own loop understands
    "grid": "RandomSampler",
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 6, "multivariate": True},
    "nsga2": {"population_size": 8},
    "qmc": {"warn_independent_sampling": False, "warn_asynchronous_seeding": False},
}


def _shared_space() -> IntersectionSearchSpace:
    return IntersectionSearchSpace(include_pruned=True)


@dataclass(frozen=True, slots=True)
class SamplerMemory:
    """What one sampler of a study leaves to the next, so that none reads all trials again.

    Attributes:
        space: the parameters that all trials have in common.
        best: the best of the older trials.
    """

    space: IntersectionSearchSpace = field(default_factory=_shared_space)
    best: Best = field(default_factory=Best)


class SharedSpaceTPE(TPESampler):
    """Optuna's TPE, told which space all trials share by what outlives the sampler.

    A sampler made anew would hold every trial's distributions against one another for each proposal: three quarters of the
    time of one with 5,000 trials. Its proposals are the same up to `window.MOST` trials; beyond, it looks at the best and
    the latest of them.
    """

    lasting: SamplerMemory | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together."""
        if self.lasting is None:
            return super().infer_relative_search_space(study, trial)
        return {name: found for name, found in self.lasting.space.calculate(study).items() if not found.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of a trial."""
        window = window_on(study, self.lasting.best if self.lasting is not None else Best())
        return super().sample_relative(window, trial, search_space)


def make_sampler(name: str, options: Mapping[str, Any], seed: int, lasting: SamplerMemory | None = None) -> BaseSampler:
    """The sampler, seeded.

    A fresh one is made for every trial, seeded with the study's seed and the number of trials so far; so a study that was
    interrupted goes on exactly as it would have, and none repeats its first draws.

    Args:
        lasting: the same one for all samplers of a study.

    Raises:
        ConfigurationError: an option is unknown to the sampler, or has a value that it does not take.
    """
    kind = getattr(optuna.samplers, _CLASSES[name])
    check_options("search.sampler_options", name, kind, options)
    arguments = {**_DEFAULTS.get(name, {}), **options}
    together = kind is TPESampler and arguments.get("multivariate") and not arguments.get("group")
    sampler = made("search.sampler_options", SharedSpaceTPE if together else kind, {**arguments, "seed": seed})
    if isinstance(sampler, SharedSpaceTPE):
        sampler.lasting = lasting
    return sampler  # type: ignore[no-any-return]


def made(key: str, kind: type, arguments: Mapping[str, Any]) -> Any:
    """An object of Optuna's.

    Raises:
        ConfigurationError: an argument has a value that it does not take.
    """
    try:
        return kind(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{key}: {error}") from error


def check_options(key: str, name: str, kind: type, options: Mapping[str, Any]) -> None:
    """Raises a ConfigurationError for every option that the class does not take."""
    known = [parameter for parameter in inspect.signature(kind).parameters if parameter not in ("seed", "self")]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ConfigurationError(
            f"{key}.{option}: {name} has no such option{did_you_mean(option, known)} (known: {', '.join(known) or 'none'})"
            for option in unknown
        )
