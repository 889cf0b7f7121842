"""Optuna's samplers by the names of the configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from sweep.errors import ConfigurationError
from sweep.suggest import did_you_mean

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


def make_sampler(name: str, options: Mapping[str, Any], seed: int) -> BaseSampler:
    """The sampler, seeded.

    A fresh one is made for every trial, seeded with the study's seed and the number of trials so far; so a study that was
    interrupted goes on exactly as it would have, and none repeats its first draws.

    Raises:
        ConfigurationError: an option is unknown to the sampler, or has a value that it does not take.
    """
    kind = getattr(optuna.samplers, _CLASSES[name])
    check_options("search.sampler_options", name, kind, options)
    return made("search.sampler_options", kind, {**_DEFAULTS.get(name, {}), **options, "seed": seed})  # type: ignore[no-any-return]


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
