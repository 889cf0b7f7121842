"""Checks what a person wrote on the command line, all of it, before Hydra composes anything.

Hydra stops at the first thing that it does not know; a person wants to hear all of them, each with the nearest name.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep
from hydra.errors import HydraException

from sweep.config.groups import groups
from sweep.config.schema import SweepKeys
from sweep.suggest import did_you_mean

OPEN_KEYS = ("model.target_sets", "search.sampler_options", "search.pruner_options")
"""Keys below which a person may write names of their own."""

ADDED_GROUPS = ("study",)
"""Groups of which the defaults choose nothing, so that Hydra wants them with a plus."""


def known_keys(schema: type = SweepKeys, prefix: str = "") -> Iterator[str]:
    """Every key of the schema, sections included, as `search.space.rank`."""
    hints = typing.get_type_hints(schema)
    for entry in dataclasses.fields(schema):
        key = f"{prefix}{entry.name}"
        yield key
        if dataclasses.is_dataclass(hints[entry.name]):
            yield from known_keys(typing.cast(type, hints[entry.name]), f"{key}.")


def override_problems(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is wrong with the overrides, and those that are usable.

    Returns:
        problems, each saying what to write instead; and the overrides without a problem.
    """
    choices = groups()
    keys = list(known_keys())
    problems: list[str] = []
    usable: list[str] = []
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:
            problems.append(
                f"{text}: write KEY=VALUE; quote values that hold spaces, commas or brackets: 'KEY=\"a b\"'"
            )
            continue
        name = override.key_or_group
        if name.startswith("hydra") or override.is_delete():
            found = None
        elif name in choices:
            found = _unknown_choices(name, override.value(), choices[name], text) or _sign(name, override.is_add())
        else:
            found = _unknown_key(name, keys, list(choices), text)
        if found is None:
            usable.append(text)
        else:
            problems.append(found)
    return problems, usable


def in_hydras_words(overrides: Sequence[str]) -> list[str]:
    """The overrides with `++` before keys of a person's own making, which Hydra would refuse to add without it."""
    opened = tuple(f"{key}." for key in OPEN_KEYS)
    return [f"++{word}" if word.startswith(opened) else word for word in overrides]


def _unknown_choices(group: str, value: object, known: Sequence[str], text: str) -> str | None:
    chosen = getattr(value, "list", None) if isinstance(value, Sweep) else value
    for choice in chosen if isinstance(chosen, list) else [chosen]:
        if str(choice) not in known:
            return (
                f"{text}: there is no {group} '{choice}'{did_you_mean(str(choice), known)} (known: {', '.join(known)})"
            )
    return None


def _sign(group: str, plus: bool) -> str | None:
    """A study is added to the defaults, every other group has one that is replaced."""
    if plus == (group in ADDED_GROUPS):
        return None
    return f"{group}: write +{group}=NAME, with a plus" if not plus else f"{group}: write {group}=NAME, without a plus"


def _unknown_key(name: str, keys: Sequence[str], choices: Sequence[str], text: str) -> str | None:
    if name in keys or any(name.startswith(f"{opened}.") for opened in OPEN_KEYS):
        return None
    if "@" in name and name.split("@")[0] in choices:
        return None
    endings = [key for key in keys if key.endswith(f".{name}")]
    near = f"; did you mean '{endings[0]}'?" if len(endings) == 1 else did_you_mean(name, [*keys, *choices])
    return f"{text}: there is no key '{name}'{near}" + ("" if near else " (python -m sweep --help lists all)")
