"""Arms that a configuration describes: the recipe of a single trial, and the arms to try first (`search.arms`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.config.schema import Config
from sweep.config.targets import resolve_targets
from sweep.console.suggest import did_you_mean
from sweep.records import Arm

FIELDS: Mapping[str, str] = {
    "r": "lora.r",
    "alpha_ratio": "lora.alpha_ratio",
    "dropout": "lora.dropout",
    "targets": "lora.targets",
    "learning_rate": "train.learning_rate",
}
"""The fields of an entry of `search.arms`, and the key that gives the value of a field left out."""


def configured_arm(config: Config) -> Arm:
    """The arm of a single trial, and of what a search leaves fixed: `lora.*`, `train.learning_rate` and `method.*`."""
    return _arm(_completed({}, config), config)


def alpha_ratio(config: Config) -> float:
    """`lora.alpha / lora.r` where alpha is given, else `lora.alpha_ratio`."""
    lora = config.lora
    return lora.alpha_ratio if lora.alpha is None else lora.alpha / max(1, lora.r)


def first_arms(config: Config) -> tuple[Arm, ...]:
    """The arms of a configuration without problems, in the order written."""
    return tuple(_arm(_completed(entry, config), config) for entry in config.search.arms)


def arm_problems(config: Config) -> Iterator[str]:
    """Problems of `search.arms`: unknown fields, values of a wrong type or outside the search space, and duplicates."""
    seen: dict[Arm, int] = {}
    for number, entry in enumerate(config.search.arms, 1):
        problems = list(_entry_problems(entry, config))
        yield from (f"search.arms: arm {number}{problem}" for problem in problems)
        if problems:
            continue
        earlier = seen.setdefault(_arm(_completed(entry, config), config), number)
        if earlier != number:
            yield f"search.arms: arm {number} is the same as arm {earlier}; write it once"


def _entry_problems(entry: Any, config: Config) -> Iterator[str]:
    fields = f"(fields: {', '.join(FIELDS)})"
    if not isinstance(entry, dict):
        yield f" is '{entry}'; write {{r: 8, learning_rate: 1e-3}} {fields}"
        return
    for name in map(str, entry):
        if name not in FIELDS:
            yield f": there is no field '{name}'{did_you_mean(name, FIELDS)} {fields}"
    for name, value in _completed(entry, config).items():
        key = "lora.alpha" if name == "alpha_ratio" and config.lora.alpha is not None else FIELDS[name]
        shown = f": {name}={value}" + ("" if name in entry else f" (from {key})")
        if name == "targets":
            yield from _target_problems(shown, value, config)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{shown}: write a number"
        else:
            yield from _number_problems(shown, name, value, config)


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
    """The fields of an arm, those left out taken from `lora.*` and `train.learning_rate`."""
    recipe = {
        "r": config.lora.r,
        "alpha_ratio": alpha_ratio(config),
        "dropout": config.lora.dropout,
        "targets": config.lora.targets,
        "learning_rate": config.train.learning_rate,
    }
    return {name: entry.get(name, value) for name, value in recipe.items()}


def _arm(fields: Mapping[str, Any], config: Config) -> Arm:
    ratio = config.method.loraplus_lr_ratio
    return Arm(
        rank=int(fields["r"]),
        alpha_ratio=float(fields["alpha_ratio"]),
        dropout=float(fields["dropout"]),
        targets=resolve_targets(fields["targets"], config.model.target_sets),
        learning_rate=float(fields["learning_rate"]),
        method=config.method.name,
        loraplus_lr_ratio=1.0 if ratio is None else ratio,
    )
