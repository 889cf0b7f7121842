"""Ranks, alphas and layers of single modules (`lora.rank_pattern`, `lora.alpha_pattern`, `lora.layers`), and whether the model has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.config.schema import LoraKeys
from sweep.config.targets import is_target
from sweep.console.suggest import did_you_mean
from sweep.methods import ALPHA_PATTERN, LAYERS, RANK_PATTERN, Method
from sweep.methods.initialization import INITIALIZATIONS
from sweep.methods.module_ranks import compiled, first_match, is_in_layers, layer_of
from sweep.records import Arm
from sweep.records.layers import layer_ranges, read_layers

KEYS: Mapping[str, str] = {
    "rank_pattern": "lora.rank_pattern",
    "alpha_pattern": "lora.alpha_pattern",
    "layers": "lora.layers",
}
"""The fields of an arm that are about single modules, and the key of each."""


def patterns_of(lora: LoraKeys, method: Method) -> dict[str, Any]:
    """The fields of an arm of the method that are about single modules; of a configuration without problems."""
    fields: dict[str, Any] = {}
    if RANK_PATTERN in method.lora:
        fields["rank_pattern"] = tuple(lora.rank_pattern.items())
    if ALPHA_PATTERN in method.lora:
        fields["alpha_pattern"] = tuple(lora.alpha_pattern.items())
    if LAYERS in method.lora:
        try:
            fields["layers"] = read_layers(lora.layers)
        except ValueError:  # reported as a problem
            fields["layers"] = ()
    return fields


def pattern_problems(lora: LoraKeys, of: str = "lora.") -> Iterator[str]:
    """Problems that are seen without the model: patterns that are none, layers that cannot be read, what they are combined with.

    Args:
        of: what comes before the name of a key in messages.
    """
    for name, patterns in (("rank_pattern", lora.rank_pattern), ("alpha_pattern", lora.alpha_pattern)):
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                yield f"{of}{name}: '{pattern}' is no regular expression: {error}"
            if not pattern:
                yield f"{of}{name}: a pattern is empty; write the end of a module's name"
    try:
        read_layers(lora.layers)
    except ValueError as error:
        yield f"{of}layers: {error}"
    init = INITIALIZATIONS.get(lora.init)
    if init is None:
        return
    if init.subtracted and (lora.rank_pattern or lora.alpha_pattern):
        name = "rank_pattern" if lora.rank_pattern else "alpha_pattern"
        yield (
            f"{of}{name}: cannot be combined with lora.init={init.name}, which is stored with twice the rank of each module; leave it out, "
            "or write lora.init=default"
        )
    if init.even and (odd := [rank for rank in lora.rank_pattern.values() if rank % 2]):
        yield f"{of}rank_pattern: lora.init={init.name} needs even ranks, and it has {', '.join(map(str, odd))}"


def check_patterns(
    arm: Arm,
    targets: Sequence[Sequence[str]],
    linear_modules: Sequence[str],
    of: str = "lora.",
    ranks: Mapping[str, Sequence[int]] | None = None,
) -> Iterator[str]:
    """Problems of an arm's patterns and layers with a model: those that match no module, and ranks that have no effect.

    Args:
        targets: the sets of target modules that are trained; a pattern has to match in one of them.
        linear_modules: full names of the model's linear modules.
        of: what comes before the name of a key in messages.
        ranks: ranks that are compared, by the key that lists them.
    """
    if not (arm.rank_pattern or arm.alpha_pattern or arm.layers):
        return
    known = sorted({number for name in linear_modules if (number := layer_of(name)) is not None})
    if missing := [layer for layer in arm.layers if layer not in known]:
        has = f"layers {known[0]} to {known[-1]}" if known else "no numbered layers"
        yield f"{of}layers={layer_ranges(arm.layers)}: the model has no layer {layer_ranges(missing)} (it has {has})"
        arm = replace(arm, layers=tuple(layer for layer in arm.layers if layer in known))
    sets = [[name for name in linear_modules if any(is_target(name, each) for each in names)] for names in targets]
    within = [[name for name in names if is_in_layers(arm, name)] for names in sets]
    if any(names and not inside for names, inside in zip(sets, within, strict=True)):
        yield f"{of}layers={layer_ranges(arm.layers)}: no target module is in these layers"
    targeted = list(dict.fromkeys(name for names in within for name in names))
    for field, patterns in (("rank_pattern", arm.rank_pattern), ("alpha_pattern", arm.alpha_pattern)):
        yield from _unmatched(f"{of}{field}", [pattern for pattern, _ in patterns], targeted)
    for key, values in (ranks or {}).items():
        if len(values) > 1 and any(
            names and all(first_match(arm.rank_pattern, name) is not None for name in names) for names in within
        ):
            yield (
                f"{of}rank_pattern: gives every target module a rank of its own, so the ranks of {key}={list(values)} would all be the "
                "same adapter; leave a module out, or compare patterns as arms of certify.ladder (docs/rank_patterns.md)"
            )
            return


def _unmatched(key: str, patterns: Sequence[str], targeted: Sequence[str]) -> Iterator[str]:
    """Patterns that match no target module, and those that never count because an earlier one matches each of theirs."""
    if not targeted:
        return
    suffixes = sorted({name.rsplit(".", 1)[-1] for name in targeted})
    for number, pattern in enumerate(patterns):
        matched = [name for name in targeted if compiled(pattern).match(name)]
        if not matched:
            yield (
                f"{key}: '{pattern}' matches the name of no target module{did_you_mean(pattern.rpartition('.')[2], suffixes)} "
                f"(a name: {targeted[0]}; targets: {', '.join(suffixes)})"
            )
        elif all(any(compiled(other).match(name) for other in patterns[:number]) for name in matched):
            yield f"{key}: '{pattern}' has no effect: an earlier pattern matches each of its modules; write it first, or leave it out"
