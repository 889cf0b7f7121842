"""The arms that a person wants tried first: `search.arms`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.config.schema import SweepKeys
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
"""What an arm may say, and the key that stands in where it does not."""


def first_arms(keys: SweepKeys) -> tuple[Arm, ...]:
    """The arms of a configuration without problems, in the order written."""
    return tuple(_arm(_filled(given, keys), keys) for given in keys.search.arms)


def arm_problems(keys: SweepKeys) -> Iterator[str]:
    """What is wrong with `search.arms`: unknown fields, values that are none or not in the search space, the same arm twice."""
    seen: dict[Arm, int] = {}
    for number, given in enumerate(keys.search.arms, 1):
        found = list(_faults(given, keys))
        yield from (f"search.arms: arm {number}{fault}" for fault in found)
        if found:
            continue
        earlier = seen.setdefault(_arm(_filled(given, keys), keys), number)
        if earlier != number:
            yield f"search.arms: arm {number} is the same as arm {earlier}; write it once"


def _faults(given: Any, keys: SweepKeys) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f" is '{given}'; write {{r: 8, learning_rate: 1e-3}} (fields: {', '.join(FIELDS)})"
        return
    for name in map(str, given):
        if name not in FIELDS:
            yield f" has a field '{name}' that there is not{did_you_mean(name, FIELDS)} (fields: {', '.join(FIELDS)})"
    for name, value in _filled(given, keys).items():
        said = f": {name}={value}" + ("" if name in given else f" (from {FIELDS[name]})")
        if name == "targets":
            yield from _target_fault(said, value, keys)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{said}: write a number"
        else:
            yield from _number_fault(said, name, value, keys)


def _number_fault(said: str, name: str, value: float, keys: SweepKeys) -> Iterator[str]:
    space = keys.search.space
    if name == "learning_rate":
        low, high = space.learning_rate.low, space.learning_rate.high
        if not low <= value <= high and math.isfinite(high) and 0 < low <= high:
            yield f"{said} is outside search.space.learning_rate, {low:g} to {high:g}; widen that range, or change the arm"
        return
    known: Mapping[str, tuple[str, Sequence[float]]] = {
        "r": ("rank", space.rank),
        "alpha_ratio": ("alpha_ratio", space.alpha_ratio),
        "dropout": ("dropout", space.dropout),
    }
    key, values = known[name]
    # an empty list has been told as a problem of its own
    if values and value not in values:
        yield f"{said} is not in search.space.{key}={list(values)}; add it there, or change the arm"


def _target_fault(said: str, value: Any, keys: SweepKeys) -> Iterator[str]:
    if not isinstance(value, str | list):
        yield f"{said}: write a set's name ({', '.join(keys.model.target_sets)}) or module names"
        return
    known = [resolve_targets(entry, keys.model.target_sets) for entry in keys.search.space.targets]
    if known and resolve_targets(value, keys.model.target_sets) not in known:
        yield f"{said} is not in search.space.targets={list(keys.search.space.targets)}; add it there, or change the arm"


def _filled(given: dict[str, Any], keys: SweepKeys) -> dict[str, Any]:
    """The arm's fields, those left out taken from the plan's own recipe."""
    recipe = {
        "r": keys.lora.r,
        "alpha_ratio": keys.lora.alpha_ratio,
        "dropout": keys.lora.dropout,
        "targets": keys.lora.targets,
        "learning_rate": keys.train.learning_rate,
    }
    return {name: given.get(name, value) for name, value in recipe.items()}


def _arm(fields: dict[str, Any], keys: SweepKeys) -> Arm:
    return Arm(
        rank=int(fields["r"]),
        alpha_ratio=float(fields["alpha_ratio"]),
        dropout=float(fields["dropout"]),
        targets=resolve_targets(fields["targets"], keys.model.target_sets),
        learning_rate=float(fields["learning_rate"]),
        method=keys.method.name,
    )
