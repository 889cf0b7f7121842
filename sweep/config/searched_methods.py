"""A search over methods (`search.space.method`): the space of each, and whether they can be searched together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sweep.config.arms import configured_arm, searched_space
from sweep.config.compute import BFLOAT16, FLOAT32
from sweep.config.forgetting import refused_recipe
from sweep.config.method_keys import FIELDS, IN_WORDS, own_key, owners
from sweep.config.method_values import config_of, method_values
from sweep.config.schema import Config
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError
from sweep.methods import Method, methods
from sweep.records import SearchedMethod
from sweep.records.keys import LEARNING_RATE
from sweep.records.quants import QUANTS

KEY = "search.space.method"
RATES = "search.space.learning_rates"

_DEFAULT = "lora"
"""The method of `conf/sweep.yaml`, which brings no values along."""

_PER_METHOD = (
    "train.learning_rate",
    "search.space.learning_rate.low",
    "search.space.learning_rate.high",
    "search.space.rank",
    "lora.r",
)
"""Keys whose value a method may bring along."""

_UNCONDITIONAL: Mapping[str, tuple[str, str]] = {
    "gp": ("models only parameters that every trial has, and would draw those of a method at random", "tpe"),
    "nsga2": ("crosses only parameters that every trial has, and would draw those of a method at random", "tpe"),
    "qmc": ("spreads only parameters that every trial has, and would draw those of a method at random", "random"),
}
"""Samplers that cannot search a space where each method has its own parameters: why, and the nearest that can."""


def searched_methods(config: Config) -> tuple[SearchedMethod, ...]:
    """Recipe and space of each method of a search over methods, as they are in a study of that method alone.

    Raises:
        ConfigurationError: a method does not exist, as in records of another version.
    """
    if unknown := list(_unknown(config)):
        raise ConfigurationError(unknown)
    configs = (config_of(config, name) for name in config.search.space.method)
    return tuple(SearchedMethod(configured_arm(each), searched_space(each)) for each in configs)


def known_methods(config: Config) -> list[Method]:
    """The methods of `search.space.method`, each once, without names that no method has."""
    return [methods()[name] for name in dict.fromkeys(config.search.space.method) if name in methods()]


def searched_problems(config: Config, given: Collection[str]) -> Iterator[str]:
    """Problems of a search over methods: the names, what they are combined with, and keys that mean nothing for any of them.

    Args:
        given: the keys that the command line sets.
    """
    known = known_methods(config)
    yield from _list_problems(config)
    yield from _search_problems(config)
    yield from _rate_problems(config)
    if not known:
        return
    yield from _own_problems(config, known)
    yield from _unused_keys(config, known, given)
    yield from _quant_problems(config, known)
    yield from _checkpointing_problems(config, known)


def _list_problems(config: Config) -> Iterator[str]:
    names = config.search.space.method
    yield from _unknown(config)
    if len(set(names)) != len(names):
        yield f"{KEY}=[{','.join(names)}]: a method is repeated; write each once"
    elif len(names) == 1:
        yield f"{KEY}=[{names[0]}]: a search over methods needs two or more; for one write method={names[0]}"
    if config.method.name != _DEFAULT:
        yield (
            f"method={config.method.name}: {KEY} says what is searched, and each method brings its own learning rates along; leave "
            f"method={config.method.name} out"
        )


def _unknown(config: Config) -> Iterator[str]:
    for name in dict.fromkeys(config.search.space.method):
        if name not in methods():
            yield f"{KEY}: there is no method '{name}'{did_you_mean(name, methods())} (known: {', '.join(methods())})"


def _search_problems(config: Config) -> Iterator[str]:
    if config.certify.enabled:
        yield (
            f"{KEY}: a search has one seed for each recipe, so it ends without a verdict; write certify=none. Then certify the ranks of "
            "the method that wins with the command that the study ends with, or compare methods with arms in certify.ladder"
        )
    if (sampler := config.search.sampler) in _UNCONDITIONAL:
        why, instead = _UNCONDITIONAL[sampler]
        yield f"search.sampler={sampler}: cannot search over methods: it {why}; write sampler={instead}"
    tried = len(set(config.search.space.method))
    if config.search.trials < tried:
        yield (
            f"search.trials={config.search.trials}: each of the {tried} methods of {KEY} is tried at least once; write "
            f"search.trials={4 * tried}, or fewer methods"
        )


def _rate_problems(config: Config) -> Iterator[str]:
    for name, rates in config.search.space.learning_rates.items():
        key = f"{RATES}.{name}"
        if name not in config.search.space.method:
            searched = ", ".join(config.search.space.method)
            yield f"{key}: is not in {KEY}{did_you_mean(name, config.search.space.method)} (searched: {searched})"
        elif len(rates) != 2:
            yield f"{key}={list(rates)}: write the lowest and the highest rate, as in {key}=[1e-3,1e-2]"
        elif not all(map(LEARNING_RATE.allows, rates)):
            yield f"{key}={list(rates)}: every value must be {LEARNING_RATE}"
        elif rates[0] > rates[1]:
            yield f"{key}={list(rates)}: the lowest rate comes first"


def _own_problems(config: Config, known: Sequence[Method]) -> Iterator[str]:
    """Values of `method.*` that no searched method has, and those that one needs and nobody gives."""
    for name, having in owners().items():
        value = getattr(config.method, name)
        if value is not None and not any(own_key(method, name) for method in known):
            names = ", ".join(method.name for method in having)
            yield (
                f"method.{name}={value}: no method of {KEY} has such a parameter; leave it out, or add a method that has ({names})"
            )
    for method in known:
        for own in method.own_keys():
            if own.default is None and getattr(config_of(config, method.name).method, own.name) is None:
                yield f"method.{own.name}: a value is needed with {KEY}; write method.{own.name}={own.about.example}"


def _unused_keys(config: Config, known: Sequence[Method], given: Collection[str]) -> Iterator[str]:
    """Keys of the command line that no searched method takes: it has no use for them, or brings its own value along."""
    for key in sorted(given):
        field = FIELDS.get(key)
        having = [method for method in known if field is None or field in method.lora]
        if field is not None and key != "certify.ladder" and not having:
            yield f"{key}: no method of {KEY} has {IN_WORDS[field]}; leave it out"
        elif key in _PER_METHOD and all(key in method_values(method.name) for method in having):
            names = ", ".join(method.name for method in having)
            instead = f"; write {RATES}={{{having[0].name}: [LOW, HIGH]}}" if "learning_rate." in key else ""
            yield f"{key}: every method of {KEY} that has it brings its own value along ({names}){instead}"


def _quant_problems(config: Config, known: Sequence[Method]) -> Iterator[str]:
    quant = config.quant
    if quant.name in QUANTS:
        shared = [name for name in QUANTS if all(name in method.quants for method in known)]
        for method in known:
            if quant.name not in method.quants:
                instead = f"write quant={shared[0]}, which all of them take, or leave" if shared else "leave"
                yield (
                    f"{KEY}: method={method.name} cannot be combined with quant={quant.name}{because(method, 'quants')}; {instead} "
                    f"{method.name} out"
                )
    for method in known:
        if method.float32 and quant.compute == BFLOAT16:
            yield (
                f"{KEY}: method={method.name} cannot be combined with quant.compute=bfloat16{because(method, 'float32')}; write "
                f"quant.compute={FLOAT32}, or leave {method.name} out"
            )


def _checkpointing_problems(config: Config, known: Sequence[Method]) -> Iterator[str]:
    for method in known:
        if config.train.gradient_checkpointing is True and not method.checkpointing:
            yield (
                f"{KEY}: method={method.name} cannot be combined with train.gradient_checkpointing=true"
                f"{because(method, 'checkpointing')}; write train.gradient_checkpointing=auto, or leave {method.name} out"
            )
        for key, lacks in refused_recipe(config, method):
            yield f"{KEY}: method={method.name} cannot be combined with {key}{because(method, lacks)}; leave one of them out"


def because(method: Method, field: str) -> str:
    """Why a method lacks something, to follow its name; nothing if that goes without saying."""
    reason = method.why_not.get(field)
    return f": {reason}" if reason else ""
