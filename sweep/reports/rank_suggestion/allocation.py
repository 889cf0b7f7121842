"""Spreads rank over groups of modules so that as much as possible of an update is kept. Pure arithmetic.

A group is a type of module, or one in some layers; its modules share a rank, so that a proposal is a handful of patterns and not one for
each module. What a further rank keeps falls with each rank (singular values are sorted), so the best spread for a number of parameters
is found by always raising the rank that keeps most per parameter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweep.methods.module_ranks import compiled, layer_of
from sweep.reports.rank_suggestion.energies import ModuleUpdate

MOST_NAMES = 12
"""Groups that a proposal names beside the rank of all others; with more, layers are not told apart."""

FEW_LAYERS = 4
"""Up to this number each layer is a group; above it those with the same tens: 0 to 9, 10 to 19, ..."""

WORTH = 0.9
"""Layers are told apart where that loses at most this share of what is lost without, or takes at most this share of the parameters."""

_IN_LAYER = re.compile(r"^(?:.*?\.)?([^.]*)\.(\d+)\.(.+)$")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Ranks by pattern.

    Attributes:
        rank: of the modules that no pattern names.
        pattern: ranks by pattern, as `lora.rank_pattern` takes them; no module matches two.
        parameters: of all modules.
        kept: share of the energy that is kept.
    """

    rank: int
    pattern: Mapping[str, int]
    parameters: int
    kept: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Modules that share a rank.

    Attributes:
        name: a pattern that matches the ends of their names.
    """

    name: str
    modules: tuple[ModuleUpdate, ...]

    @property
    def width(self) -> int:
        """Parameters per rank."""
        return sum(module.width for module in self.modules)

    def kept(self, rank: int) -> float:
        return sum(module.kept(rank) for module in self.modules)


def propose(updates: Sequence[ModuleUpdate], budget: int, enough: float = 1.0) -> Proposal | None:
    """The ranks that keep most energy with fewer than `budget` parameters; None if rank 1 everywhere has as many.

    Args:
        enough: share of the energy at which no further rank is raised.
    """
    plain = _spread(_by_type(updates), updates, budget, enough)
    fine = _spread(_by_layers(updates), updates, budget, enough)
    if plain is None or fine is None:
        return plain
    if sum(1 for _ in names_of(fine)) > MOST_NAMES:
        return plain
    if min(fine.kept, plain.kept) >= enough:
        return fine if fine.parameters <= WORTH * plain.parameters else plain
    return fine if 1 - fine.kept <= WORTH * (1 - plain.kept) else plain


def uniform(updates: Sequence[ModuleUpdate], rank: int) -> Proposal:
    """One rank for all."""
    energy = sum(update.energy for update in updates)
    kept = sum(update.kept(rank) for update in updates)
    return Proposal(rank, {}, sum(update.width for update in updates) * rank, kept / energy if energy > 0 else 1.0)


def _spread(groups: Sequence[_Group], updates: Sequence[ModuleUpdate], budget: int, enough: float) -> Proposal | None:
    """Ranks of the groups, raised one after the other from 1 on."""
    levels = _levels(max((len(update.squares) for update in updates), default=1))
    at = [0] * len(groups)
    spent = sum(group.width for group in groups)
    if spent >= budget:
        return None
    energy = sum(update.energy for update in updates)
    kept = sum(group.kept(1) for group in groups)
    while kept < enough * energy:
        best, most = None, 0.0
        for number, group in enumerate(groups):
            if at[number] + 1 == len(levels):
                continue
            rank, higher = levels[at[number]], levels[at[number] + 1]
            cost = group.width * (higher - rank)
            gain = (group.kept(higher) - group.kept(rank)) / cost
            if spent + cost < budget and gain > most:
                best, most = number, gain
        if best is None:
            break
        rank, higher = levels[at[best]], levels[at[best] + 1]
        spent += groups[best].width * (higher - rank)
        kept += groups[best].kept(higher) - groups[best].kept(rank)
        at[best] += 1
    ranks = [levels[place] for place in at]
    modules: Counter[int] = Counter()
    for group, rank in zip(groups, ranks, strict=True):
        modules[rank] += len(group.modules)
    default = modules.most_common(1)[0][0]
    return Proposal(default, _patterns(groups, ranks, default), spent, kept / energy if energy > 0 else 1.0)


def _levels(largest: int) -> list[int]:
    """Ranks that are tried: 1, 2, 3, 4, 6, 8, 12, ... up to the largest."""
    levels, power = {1, 2, 3, largest}, 4
    while power < largest:
        levels |= {power, power + power // 2}
        power *= 2
    return sorted(level for level in levels if level <= largest)


def _patterns(groups: Sequence[_Group], ranks: Sequence[int], default: int) -> dict[str, int]:
    """A pattern for each rank but the default: the groups of a type that share it as one, if they are all of the type."""
    named: dict[int, list[str]] = {}
    types: dict[str, list[tuple[_Group, int]]] = {}
    for group, rank in zip(groups, ranks, strict=True):
        types.setdefault(_type(group.modules[0].name), []).append((group, rank))
    for of_type, members in types.items():
        own = {rank for _, rank in members}
        if len(own) == 1:
            named.setdefault(own.pop(), []).append(of_type)
            continue
        for group, rank in members:
            named.setdefault(rank, []).append(group.name)
    return {"|".join(names): rank for rank, names in sorted(named.items(), reverse=True) if rank != default}


def _by_type(updates: Sequence[ModuleUpdate]) -> list[_Group]:
    types: dict[str, list[ModuleUpdate]] = {}
    for update in updates:
        types.setdefault(_type(update.name), []).append(update)
    return [_Group(name, tuple(members)) for name, members in types.items()]


def _by_layers(updates: Sequence[ModuleUpdate]) -> list[_Group]:
    numbers = {layer_of(update.name) for update in updates}
    each = len(numbers) <= FEW_LAYERS
    groups: dict[str, list[ModuleUpdate]] = {}
    for update in updates:
        groups.setdefault(_layer_pattern(update.name, each=each), []).append(update)
    exact = all(
        {update.name for update in updates if compiled(pattern).match(update.name)} == {update.name for update in own}
        for pattern, own in groups.items()
    )
    return [_Group(name, tuple(own)) for name, own in groups.items()] if exact else _by_type(updates)


def _type(name: str) -> str:
    """`q_proj` of `model.layers.3.self_attn.q_proj`."""
    return name.rpartition(".")[2]


def _layer_pattern(name: str, *, each: bool) -> str:
    r"""A pattern for a module's type in its layer or its tens of layers, such as `layers.1\d.self_attn.q_proj`."""
    match = _IN_LAYER.match(name)
    if match is None or layer_of(name) is None:
        return _type(name)
    container, number, path = match.groups()
    layers = number if each else rf"{number[:-1]}\d"
    return f"{container}.{layers}.{path}"


def names_of(proposal: Proposal) -> Iterator[tuple[str, int]]:
    """Each name in a proposal's patterns, with its rank."""
    for names, rank in proposal.pattern.items():
        yield from ((name, rank) for name in names.split("|"))
