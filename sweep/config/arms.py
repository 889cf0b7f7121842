"""Arms that a configuration describes: the recipe of a single trial, and the arms to try first (`search.arms`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.config.method_keys import own_key, own_values
from sweep.config.method_values import config_of
from sweep.config.rank_patterns import patterns_of
from sweep.config.schema import Config
from sweep.config.targets import resolve_targets
from sweep.console.suggest import did_you_mean
from sweep.methods import ALPHA, DROPOUT, INIT, RANK, TARGETS, methods
from sweep.records import Arm, SearchSpace
from sweep.records.arm import DEFAULT_INIT

FIELDS: Mapping[str, str] = {
    "r": "lora.r",
    "alpha_ratio": "lora.alpha_ratio",
    "dropout": "lora.dropout",
    "targets": "lora.targets",
    "learning_rate": "train.learning_rate",
}
"""The fields of an entry of `search.arms`, and the key that gives the value of a field left out; a method has some of them."""

_METHOD = "method"
"""The field of an entry that says of which method it is, in a search over methods."""

_OF_LORA: Mapping[str, str] = {"r": RANK, "alpha_ratio": ALPHA, "dropout": DROPOUT, "targets": TARGETS}
"""The field of `Arm` that each of LoRA's fields is."""


def configured_arm(config: Config) -> Arm:
    """The arm of a single trial, and of what a search leaves fixed: `lora.*`, `train.learning_rate` and `method.*`."""
    return _arm(_completed({}, config), config)


def alpha_ratio(config: Config) -> float:
    """`lora.alpha / lora.r` where alpha is given, else `lora.alpha_ratio`."""
    lora = config.lora
    return lora.alpha_ratio if lora.alpha is None else lora.alpha / max(1, lora.r)


def searched_space(config: Config) -> SearchSpace:
    """The space that a search chooses from: what the method has of `search.space.*`, and of its own parameters those without a value."""
    space, method = config.search.space, methods()[config.method.name]
    targets = (",".join(resolve_targets(entry, config.model.target_sets)) for entry in space.targets)
    return SearchSpace(
        ranks=space.rank if RANK in method.lora else (),
        alpha_ratios=space.alpha_ratio if ALPHA in method.lora else (),
        dropouts=space.dropout if DROPOUT in method.lora else (),
        targets=tuple(dict.fromkeys(targets)) if TARGETS in method.lora else (),
        learning_rate=(space.learning_rate.low, space.learning_rate.high),
        own=tuple((name, values) for name, values in method.space.items() if getattr(config.method, name) is None),
    )


def first_arms(config: Config) -> tuple[Arm, ...]:
    """The arms of a configuration without problems, in the order written."""
    entries = (_with_its_config(entry, config) for entry in config.search.arms)
    return tuple(_arm(_completed(fields, own), own) for fields, own in entries)


def arm_problems(config: Config) -> Iterator[str]:
    """Problems of `search.arms`: unknown fields, values of a wrong type or outside the search space, and duplicates."""
    seen: dict[Arm, int] = {}
    for number, entry in enumerate(config.search.arms, 1):
        fields, own = _with_its_config(entry, config)
        problems = [*_method_problems(entry, config), *_entry_problems(fields, own)]
        yield from (f"search.arms: arm {number}{problem}" for problem in problems)
        if problems:
            continue
        earlier = seen.setdefault(_arm(_completed(fields, own), own), number)
        if earlier != number:
            yield f"search.arms: arm {number} is the same as arm {earlier}; write it once"


def _with_its_config(entry: Any, config: Config) -> tuple[Any, Config]:
    """An entry without its method, and the configuration of that method."""
    if not isinstance(entry, dict) or _METHOD not in entry:
        return entry, config
    fields = {name: value for name, value in entry.items() if name != _METHOD}
    name = entry[_METHOD]
    searched = name in config.search.space.method and name in methods()
    return fields, config_of(config, name) if searched else config


def _method_problems(entry: Any, config: Config) -> Iterator[str]:
    """Problems of an arm's field `method`, which only a search over methods needs."""
    searched = config.search.space.method
    if not isinstance(entry, dict):
        return
    name = entry.get(_METHOD)
    if searched and name is None:
        yield f": the method is missing; write {{method: {searched[0]}, ...}} (searched: {', '.join(searched)})"
    elif searched and name not in searched:
        yield f": method={name} is not in search.space.method=[{','.join(searched)}]{did_you_mean(str(name), searched)}"
    elif name is not None and not searched and name != config.method.name:
        yield (
            f": method={name}, in a study of method={config.method.name}; write search.space.method=[{config.method.name},{name}] "
            "to search both"
        )


def _entry_problems(entry: Any, config: Config) -> Iterator[str]:
    known = _fields(config)
    fields = f"(fields: {', '.join(known)})"
    if not isinstance(entry, dict):
        yield f" is '{entry}'; write {{{'r: 8, ' if 'r' in known else ''}learning_rate: 1e-3}} {fields}"
        return
    for name in map(str, entry):
        if name not in known:
            yield f": there is no field '{name}'{did_you_mean(name, known)} {fields}"
    for name, value in _completed(entry, config).items():
        key = "lora.alpha" if name == "alpha_ratio" and config.lora.alpha is not None else known[name]
        shown = f": {name}={value}" + ("" if name in entry else f" (from {key})")
        if name == "targets":
            yield from _target_problems(shown, value, config)
        elif name not in FIELDS:
            if name in entry:
                yield from _own_problems(shown, name, value, config)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{shown}: write a number"
        else:
            yield from _number_problems(shown, name, value, config)


def _own_problems(shown: str, name: str, value: Any, config: Config) -> Iterator[str]:
    """Problems of one of the method's own parameters in an arm."""
    method = methods()[config.method.name]
    searched = dict(searched_space(config).own)
    key = own_key(method, name)
    if name not in searched:
        yield f"{shown} is not searched; write method.{name}={value}, for all arms"
    elif key is not None and value not in searched[name]:
        yield f"{shown} is not among the values that are searched, {list(searched[name])}"


def _fields(config: Config) -> dict[str, str]:
    """The fields that an arm of the method has, and the key that gives the value of each."""
    method = methods().get(config.method.name)
    if method is None:  # reported as an unknown choice
        return dict(FIELDS)
    lora = {name: key for name, key in FIELDS.items() if name not in _OF_LORA or _OF_LORA[name] in method.lora}
    return lora | {own.name: f"method.{own.name}" for own in method.own_keys() if own.name in method.space}


def _number_problems(shown: str, name: str, value: float, config: Config) -> Iterator[str]:
    space = config.search.space
    if name == "learning_rate":
        low, high = space.learning_rate.low, space.learning_rate.high
        if not low <= value <= high and math.isfinite(high) and 0 < low <= high:
            yield f"{shown} is outside search.space.learning_rate, {low:g} to {high:g}; widen that range, or change the arm"
        return
    searched: Mapping[str, tuple[str, Sequence[float]]] = {
        "r": ("rank", space.rank),
        "alpha_ratio": ("alpha_ratio", space.alpha_ratio),
        "dropout": ("dropout", space.dropout),
    }
    key, values = searched[name]
    # an empty list is reported as a problem of its own
    if values and value not in values:
        yield f"{shown} is not in search.space.{key}={list(values)}; add it there, or change the arm"


def _target_problems(shown: str, value: Any, config: Config) -> Iterator[str]:
    sets, searched = config.model.target_sets, config.search.space.targets
    if not isinstance(value, str | list):
        yield f"{shown}: write a set's name ({', '.join(sets)}) or module names"
        return
    resolved = [resolve_targets(entry, sets) for entry in searched]
    if resolved and resolve_targets(value, sets) not in resolved:
        yield f"{shown} is not in search.space.targets={list(searched)}; add it there, or change the arm"


def _completed(entry: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The fields of an arm, those left out taken from `lora.*`, `train.learning_rate` and `method.*`."""
    recipe = {
        "r": config.lora.r,
        "alpha_ratio": alpha_ratio(config),
        "dropout": config.lora.dropout,
        "targets": config.lora.targets,
        "learning_rate": config.train.learning_rate,
    }
    if (method := methods().get(config.method.name)) is not None:
        recipe |= own_values(method, config.method)
    return {name: entry.get(name, recipe[name]) for name in _fields(config) if name in recipe}


def _arm(fields: Mapping[str, Any], config: Config) -> Arm:
    """The arm with these fields; what they leave out, the method does not have or takes from the configuration."""
    method = methods().get(config.method.name)
    own = {**own_values(method, config.method), **fields} if method is not None else {}
    names = [key.name for key in method.own_keys() if key.name in own] if method is not None else []
    # the records of LoRA+ have its parameter as a field
    ratio = float(own["loraplus_lr_ratio"]) if "loraplus_lr_ratio" in names else 1.0
    return Arm(
        rank=int(fields.get("r", 0)),
        alpha_ratio=float(fields.get("alpha_ratio", 0.0)),
        dropout=float(fields.get("dropout", 0.0)),
        targets=resolve_targets(fields.get("targets", ()), config.model.target_sets),
        learning_rate=float(fields["learning_rate"]),
        method=config.method.name,
        loraplus_lr_ratio=ratio,
        own=tuple((name, own[name]) for name in names if name != "loraplus_lr_ratio"),
        init=config.lora.init if method is not None and INIT in method.lora else DEFAULT_INIT,
        **(patterns_of(config.lora, method) if method is not None else {}),
    )
