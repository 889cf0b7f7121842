"""Optuna's samplers by their names in the configuration, TPE's view of a long study, and the grid."""

from __future__ import annotations

import heapq
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.search.optuna_internals import PartOfStudy
from sweep.search.space import Values
from sweep.search.stored_trials import was_interrupted

SAMPLER_OPTIONS = "search.sampler_options"

WINDOW = 250
"""Trials that TPE reads at most. It takes at most 25 of them as good ones, and the weights of the others fade with age."""

BEST = 25
"""How many of the window are the best of all older trials: TPE's `default_gamma` never takes more as good ones."""

_CLASSES: Mapping[str, str] = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
    # never asked, since grid points are enqueued one by one: Optuna's own GridSampler does not support enqueued trials and
    # stops a study in a way that only Optuna's `optimize` handles
    "grid": "RandomSampler",
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"n_startup_trials": 6, "multivariate": True},
    "nsga2": {"population_size": 8},
    "qmc": {"warn_independent_sampling": False, "warn_asynchronous_seeding": False},
}


def make_sampler(name: str, options: Mapping[str, Any], seed: int, shared: SamplerState | None = None) -> BaseSampler:
    """A sampler, seeded.

    Each trial gets its own sampler, seeded with the study's seed and the number of trials so far. So an interrupted study
    continues exactly as it would have, and no run repeats the first draws.

    Args:
        shared: one object for all samplers of a study, to save time; changes no proposal.

    Raises:
        ConfigurationError: the sampler does not have an option, or rejects its value.
    """
    kind = getattr(optuna.samplers, _CLASSES[name])
    check_names(SAMPLER_OPTIONS, name, kind, options)
    arguments = {**DEFAULTS.get(name, {}), **options}
    joint = kind is TPESampler and arguments.get("multivariate") and not arguments.get("group")
    sampler = construct(SAMPLER_OPTIONS, SharedSpaceTPE if joint else kind, {**arguments, "seed": seed})
    if isinstance(sampler, SharedSpaceTPE):
        sampler.shared = shared
    return sampler  # type: ignore[no-any-return]


class BestTrials:
    """The `BEST` complete trials among the older ones of a growing study; each ended trial is read once."""

    def __init__(self) -> None:
        self._read = 0
        self._best: list[FrozenTrial] = []

    def among(self, older: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The best of these, by number.

        Args:
            older: the first trials of the study, by number; at least as many as in the last call.
        """
        ended = self._read
        while ended < len(older) and older[ended].state.is_finished():
            ended += 1
        self._best = _best_of([*self._best, *older[self._read : ended]])
        self._read = ended
        return sorted(_best_of([*self._best, *older[ended:]]), key=lambda trial: trial.number)


def window_of(trials: Sequence[FrozenTrial], best: BestTrials) -> list[FrozenTrial]:
    """The latest trials and the best complete ones before them, `WINDOW` in all, by number.

    Args:
        trials: all trials of a study that minimizes one value, by number.
        best: the same object in each call for a study, or a new one.
    """
    if len(trials) <= WINDOW:
        return list(trials)
    return [*best.among(trials[: BEST - WINDOW]), *trials[BEST - WINDOW :]]


def windowed(study: optuna.Study, best: BestTrials) -> optuna.Study:
    """A view of the study with only the trials of `window_of`."""
    return PartOfStudy(study, lambda trials: window_of(trials, best))


@dataclass(frozen=True, slots=True)
class SamplerState:
    """What the samplers of one study share, so that none reads all trials again.

    Attributes:
        space: the parameters that all trials have in common.
        best: the best of the older trials.
    """

    space: IntersectionSearchSpace = field(default_factory=lambda: IntersectionSearchSpace(include_pruned=True))
    best: BestTrials = field(default_factory=BestTrials)


class SharedSpaceTPE(TPESampler):
    """Optuna's TPE with a search space that is kept between samplers, and a window on long studies.

    A new `TPESampler` compares the distributions of all trials for each proposal: three quarters of its time with 5,000 trials.
    Proposals are the same as Optuna's up to `WINDOW` trials.
    """

    shared: SamplerState | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn jointly."""
        if self.shared is None:
            return super().infer_relative_search_space(study, trial)
        space = self.shared.space.calculate(study)
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of a trial."""
        best = self.shared.best if self.shared is not None else BestTrials()
        return super().sample_relative(windowed(study, best), trial, search_space)


class Grid:
    """The points of `sampler=grid` in their order, and which of them have a trial.

    Args:
        trials: the trials of the study.
    """

    def __init__(self, points: Sequence[Values], trials: Iterable[FrozenTrial]) -> None:
        self._points = [(_key(point), point) for point in points]
        self._visited = {
            _key(trial.params or trial.system_attrs.get("fixed_params", {}))
            for trial in trials
            if not was_interrupted(trial)
        }

    def unvisited(self) -> list[Values]:
        """The points without a trial."""
        return [point for key, point in self._points if key not in self._visited]

    def visit(self, values: Mapping[str, Any]) -> None:
        """Marks the point with these values as having a trial."""
        self._visited.add(_key(values))


def _best_of(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return heapq.nsmallest(BEST, complete, key=lambda trial: trial.value or 0.0)


def _key(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())


def check_names(key: str, name: str, kind: type, options: Mapping[str, Any]) -> None:
    """Checks that an Optuna class has these options.

    Args:
        key: the configuration key of the options.
        name: the sampler's or pruner's name in the configuration.

    Raises:
        ConfigurationError: one problem for each unknown option.
    """
    known = [parameter for parameter in inspect.signature(kind).parameters if parameter not in ("seed", "self")]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ConfigurationError(
            f"{key}.{option}: {name} has no such option{did_you_mean(option, known)} (known: {', '.join(known) or 'none'})"
            for option in unknown
        )


def construct(key: str, kind: type, arguments: Mapping[str, Any]) -> Any:
    """Makes an Optuna sampler or pruner.

    Raises:
        ConfigurationError: Optuna rejects the value of an argument.
    """
    try:
        return kind(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{key}: {error}") from error
