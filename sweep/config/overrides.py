"""Checks what a person wrote on the command line, all of it, before Hydra composes anything.

Hydra stops at the first thing that it does not know; a person wants to hear all of them, each with the nearest name.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep
from hydra.errors import HydraException

from sweep.config.groups import groups
from sweep.config.schema import SweepKeys
from sweep.console.suggest import did_you_mean

OPEN_KEYS = ("model.target_sets", "search.sampler_options", "search.pruner_options")
"""Keys below which a person may write names of their own."""

_SHOWN = 60
"""So much of an override that cannot be read is repeated."""

ADDED_GROUPS = ("study",)
"""Groups of which the defaults choose nothing, so that Hydra wants them with a plus."""


def known_keys(schema: type = SweepKeys, prefix: str = "") -> dict[str, Any]:
    """Every key of the schema, sections included, as `search.space.rank`, and its type."""
    hints = typing.get_type_hints(schema)
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(schema):
        key = f"{prefix}{entry.name}"
        found[key] = hints[entry.name]
        if dataclasses.is_dataclass(hints[entry.name]):
            found |= known_keys(typing.cast(type, hints[entry.name]), f"{key}.")
    return found


def override_problems(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is wrong with the overrides, and those that are usable.

    Returns:
        problems, each saying what to write instead; and the overrides without a problem.
    """
    choices = groups()
    keys = known_keys()
    problems: list[str] = []
    usable: list[str] = []
    parser = OverridesParser.create()
    for word in overrides:
        text = _as_written(word)
        try:
            override = parser.parse_override(word)
        except ValueError:  # Python reads no whole number of thousands of digits
            problems.append(f"{text[:_SHOWN]}...: cannot be read: the number has too many digits")
            continue
        except HydraException:
            problems.append(
                f"{text}: write KEY=VALUE; quote values that hold spaces, commas, brackets or letters beyond a to z: 'KEY=\"a b\"'"
            )
            continue
        name = override.key_or_group
        if name.startswith("hydra") or override.is_delete():
            found = None
        elif name in choices:
            found = _unknown_choices(name, override.value(), choices[name], text) or _sign(name, override.is_add())
        else:
            found = _unknown_key(name, keys, list(choices), text) or _wrong_form(name, override.value(), keys, text)
        if found is None:
            usable.append(word)
        else:
            problems.append(found)
    return problems, usable


def in_hydras_words(overrides: Sequence[str]) -> list[str]:
    """The overrides with `++` before keys of a person's own making, which Hydra would refuse to add without it."""
    opened = tuple(f"{key}{sign}" for key in OPEN_KEYS for sign in ".=")
    return [f"++{word}" if word.startswith(opened) else word for word in overrides]


def _as_written(word: str) -> str:
    """The override before `in_hydras_words`."""
    opened = tuple(f"++{key}" for key in OPEN_KEYS)
    return word.removeprefix("++") if word.startswith(opened) else word


def wrong_form(key: str, value: object, kind: Any) -> str | None:
    """What to write instead of a value that is a list, a mapping or neither where the key wants another of these.

    Args:
        kind: the key's type, see `known_keys`.
    """
    if kind is Any or (isinstance(value, str) and value.startswith("${")):
        return None
    if value is None:
        return None if type(None) in typing.get_args(kind) else "cannot be null; leave it out for its default"
    if dataclasses.is_dataclass(kind):
        names = ", ".join(entry.name for entry in dataclasses.fields(kind))
        return None if isinstance(value, dict) else f"is a group of keys; write {key}.NAME=VALUE (names: {names})"
    origin = typing.get_origin(kind)
    if origin is dict:
        if not isinstance(value, dict):
            return f"is a group of values by name; write {key}.NAME=VALUE"
        lists = typing.get_origin(typing.get_args(kind)[1]) is list and not all(
            isinstance(each, list) for each in value.values()
        )
        return f"write each value as a list in brackets, as in {key}.NAME=[A,B]" if lists else None
    if origin is list:
        return None if isinstance(value, list) else f"write a list in brackets, as in {key}=[A,B]"
    if isinstance(value, list | dict):
        return f"write one value, as in {key}=A"
    return None


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


def _wrong_form(name: str, value: object, keys: Mapping[str, Any], text: str) -> str | None:
    if isinstance(value, Sweep):
        return f"{text}: has several values; write one, a list in brackets, or text with commas in quotes: '{name}=\"A,B\"'"
    found = wrong_form(name, value, keys[name]) if name in keys else None
    if found is None and isinstance(value, dict) and dataclasses.is_dataclass(keys.get(name)):
        for inner, each in value.items():
            key = f"{name}.{inner}"
            found = _unknown_key(key, keys, (), text) or _wrong_form(key, each, keys, text)
            if found is not None:
                return found
    return f"{text}: {found}" if found else None


def _unknown_key(name: str, keys: Collection[str], choices: Sequence[str], text: str) -> str | None:
    if name in keys or any(name.startswith(f"{opened}.") for opened in OPEN_KEYS):
        return None
    if "@" in name and name.split("@")[0] in choices:
        return None
    endings = [key for key in keys if key.endswith(f".{name}")]
    near = f"; did you mean '{endings[0]}'?" if len(endings) == 1 else did_you_mean(name, [*keys, *choices])
    return f"{text}: there is no key '{name}'{near}" + ("" if near else " (python -m sweep --help lists all)")
