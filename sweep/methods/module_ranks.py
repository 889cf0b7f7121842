"""Rank, alpha and scale of single modules, `lora.rank_pattern`, `lora.alpha_pattern` and `lora.layers`, as PEFT matches them.

A pattern is a regular expression that the end of a module's name matches, from a dot or the beginning on; the first that matches counts
(`peft.utils.other.get_pattern_key`). Where no pattern of alphas matches, alpha is `alpha_ratio` times the module's own rank, so that a
rank of its own does not change the scale of a module's update. PEFT has one `lora_alpha` for all modules; written configurations
therefore name the alphas of such modules too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

from sweep.methods.lora_scale import is_rank_stabilized
from sweep.records import Arm
from sweep.records.layers import layer_ranges

V = TypeVar("V", int, float)

Patterns = Sequence[tuple[str, V]]

_LAYER = re.compile(r".*?\.[^.]*\.(\d+)\.")
"""The first number in a module's name, as PEFT takes it for `layers_to_transform` (`check_target_module_exists`)."""

_SHOWN = 2
"""Patterns in a name for people; of more, the number is named."""


def layer_of(module: str) -> int | None:
    """The number of the layer that a module is in, by its full name; None outside any layer."""
    match = _LAYER.match(module)
    return int(match[1]) if match else None


def is_in_layers(arm: Arm, module: str) -> bool:
    """Whether a module is in one of the arm's layers."""
    return not arm.layers or layer_of(module) in arm.layers


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as it is matched against the beginning of a module's full name.

    Raises:
        re.error: it is not a regular expression.
    """
    return re.compile(rf"(.*\.)?({pattern})$")


def first_match(patterns: Patterns[V], module: str) -> V | None:
    """The value of the first pattern that matches a module, by its full name."""
    return next((value for pattern, value in patterns if compiled(pattern).match(module)), None)


def has_patterns(arm: Arm) -> bool:
    """Whether modules of the arm may differ in rank or alpha."""
    return bool(arm.rank_pattern or arm.alpha_pattern)


def module_rank(arm: Arm, module: str) -> int:
    """The rank of a module's adapter."""
    own = first_match(arm.rank_pattern, module)
    return arm.rank if own is None else own


def module_alpha(arm: Arm, module: str) -> float:
    """The alpha of a module's adapter."""
    own = first_match(arm.alpha_pattern, module)
    return arm.alpha_ratio * module_rank(arm, module) if own is None else own


def module_scale(arm: Arm, module: str) -> float:
    """The factor of a module's update: alpha / rank, in rsLoRA alpha / sqrt(rank), of the module."""
    rank, own = module_rank(arm, module), first_match(arm.alpha_pattern, module)
    if is_rank_stabilized(arm):
        return module_alpha(arm, module) / math.sqrt(rank)
    return arm.alpha_ratio if own is None else own / rank


def largest_rank(arm: Arm) -> int:
    """At least the largest rank of any module, whatever the model's modules are."""
    return max(arm.rank, *(rank for _, rank in arm.rank_pattern)) if arm.rank_pattern else arm.rank


def written_alphas(arm: Arm) -> dict[str, float]:
    """PEFT's `alpha_pattern`: the arm's own, then the alphas of modules with a rank of their own."""
    given = dict(arm.alpha_pattern)
    return given | {pattern: arm.alpha_ratio * rank for pattern, rank in arm.rank_pattern if pattern not in given}


def for_modules(arm: Arm, modules: Sequence[str]) -> Arm:
    """The same arm with patterns that a file can hold: none that matches no module, and in any order the same.

    PEFT sorts the patterns of the configurations that it saves, which changes what is first. So where two patterns with different values
    match the same module, each module is named instead.

    Args:
        modules: full names of the arm's target modules.
    """
    if not has_patterns(arm):
        return arm
    ranks, alphas = arm.rank_pattern, tuple(written_alphas(arm).items())
    if _order_matters(ranks, modules) or _order_matters(alphas, modules):
        return replace(arm, rank_pattern=_named(ranks, modules), alpha_pattern=_named(alphas, modules))
    return replace(arm, rank_pattern=_used(ranks, modules), alpha_pattern=_used(alphas, modules))


def _order_matters(patterns: Patterns[V], modules: Sequence[str]) -> bool:
    """Whether patterns with different values match the same module."""
    return any(len({value for pattern, value in patterns if compiled(pattern).match(module)}) > 1 for module in modules)


def _named(patterns: Patterns[V], modules: Sequence[str]) -> tuple[tuple[str, V], ...]:
    """Each module that a pattern matches, by its full name."""
    values = ((module, first_match(patterns, module)) for module in modules)
    return tuple((module, value) for module, value in values if value is not None)


def _used(patterns: Patterns[V], modules: Sequence[str]) -> tuple[tuple[str, V], ...]:
    """The patterns that match a module."""
    return tuple(each for each in patterns if any(compiled(each[0]).match(module) for module in modules))


def pattern_words(arm: Arm) -> str:
    """`down_proj rank 16, layers 15-29`; nothing for an arm whose modules are all alike."""
    parts = _shortened([f"{pattern} rank {rank}" for pattern, rank in arm.rank_pattern], "ranks")
    parts += _shortened([f"{pattern} alpha {alpha:g}" for pattern, alpha in arm.alpha_pattern], "alphas")
    if arm.layers:
        parts.append(f"layer{'' if len(arm.layers) == 1 else 's'} {layer_ranges(arm.layers)}")
    return ", ".join(parts)


def _shortened(parts: list[str], of: str) -> list[str]:
    return parts if len(parts) <= _SHOWN else [f"{len(parts)} patterns of {of}"]
