"""The keys of the configuration, read from `sweep.config.schema`: types, defaults, limits, help, and the values they take."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from sweep.config.groups import ROOT_CONFIG, package_folder
from sweep.config.schema import Config
from sweep.config.tasks import option_of
from sweep.records.keys import Key, Limit

REQUIRED = "???"
"""OmegaConf's sign for a value that must be given."""

OPEN_KEYS = (
    *(
        "model.target_sets",
        "task.columns",
        "search.sampler_options",
        "search.pruner_options",
        "search.space.learning_rates",
    ),
    *("lora.rank_pattern", "lora.alpha_pattern"),
)
"""Keys below which names are free."""

_SHOWN = 60
"""Longer values are cut off in messages."""

_TRUE, _FALSE = ("y", "yes", "on", "true", "1"), ("n", "no", "off", "false", "0")


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, or a section of keys.

    Attributes:
        name: the full name, as `search.space.rank`.
        type: the field's type; a dataclass for a section.
        about: its meaning and limits.
        default: the schema's; `REQUIRED` if a value must be given, None for a section.
    """

    name: str
    type: Any
    about: Key
    default: Any

    @property
    def is_section(self) -> bool:
        return dataclasses.is_dataclass(self.type)

    @property
    def optional(self) -> bool:
        """Whether null may be given."""
        return self.type is Any or type(None) in typing.get_args(self.type) or self.about.null is not None


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """The help of a key, as text.

    Attributes:
        kind: its type in words.
        default: as it would be typed; None if a value must be given.
        text: its meaning in one line.
        limits: in words, such as `from 1 to 4096`; None if there are none.
        choices: the values it takes; empty if any may be given.
        example: an override to copy, `KEY=VALUE`; None if the default says enough.
    """

    key: str
    kind: str
    default: str | None
    text: str
    limits: str | None
    choices: tuple[str, ...]
    example: str | None


def fields_of(record: type, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """The fields of a record that are keys: the field's name, and the key's entry."""
    hints = typing.get_type_hints(record, include_extras=True)
    for field in dataclasses.fields(record):
        annotation = hints[field.name]
        for about in getattr(annotation, "__metadata__", ()):
            if isinstance(about, Key):
                kind = annotation.__origin__
                yield field.name, Entry(f"{prefix}{field.name}", kind, about, _default_of(field, kind))


@cache
def entries() -> Mapping[str, Entry]:
    """Every key and every section by its full name, a section before its keys."""
    return dict(_entries(Config))


def known_keys() -> dict[str, Any]:
    """The type of every key and section, by full name."""
    return {name: entry.type for name, entry in entries().items()}


@cache
def limits() -> Mapping[str, Limit]:
    """The limits of every number of the configuration, by key; for lists those of each value."""
    return {name: entry.about.limit for name, entry in entries().items() if entry.about.limit is not None}


def default_values() -> dict[str, Any]:
    """Every key with its default, as nested dictionaries for Hydra."""
    values: dict[str, Any] = {}
    for name, entry in entries().items():
        *sections, last = name.split(".")
        inner = values
        for section in sections:
            inner = inner[section]
        inner[last] = {} if entry.is_section else _plain(entry.default)
    return values


def must_be(entry: Entry) -> str:
    """The limits of a key as they follow "must be"."""
    return f"{entry.about.limit}, or null" if entry.optional and entry.type is not Any else str(entry.about.limit)


def key_help() -> dict[str, KeyHelp]:
    """The help of every key, by its full name. Defaults include what `conf/sweep.yaml` and the options it chooses set."""
    chosen = _chosen_values()
    return {
        name: KeyHelp(
            key=name,
            kind=_in_words(entry.type, entry.about),
            default=_as_typed(chosen.get(name, entry.default)),
            text=entry.about.text,
            limits=None if entry.about.limit is None else must_be(entry),
            choices=entry.about.choices,
            example=None if entry.about.example is None else f"{name}={entry.about.example}",
        )
        for name, entry in entries().items()
        if not entry.is_section
    }


def section_help() -> dict[str, str]:
    """The meaning of every section in one line, by its full name."""
    return {name: entry.about.text for name, entry in entries().items() if entry.is_section}


def read_value(value: Any, kind: Any) -> Any:
    """Converts a value from YAML or the command line to a field's type: lists to tuples, text to numbers.

    Raises:
        ValueError: the value cannot be converted; the text says what it must be.
    """
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        (kind,) = (each for each in arguments if each is not type(None))
        return None if value is None else read_value(value, kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(read_value(each, arguments[0]) for each in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str(name): read_value(each, arguments[1]) for name, each in value.items()}
    return value if kind is Any else _scalar(value, kind)


def shortened(value: object) -> str:
    """A value as shown in messages."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _entries(record: type, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    for _, entry in fields_of(record, prefix):
        yield entry.name, entry
        if entry.is_section:
            yield from _entries(entry.type, f"{entry.name}.")


def _default_of(field: dataclasses.Field[Any], kind: Any) -> Any:
    if dataclasses.is_dataclass(kind):
        return None
    if field.default is not dataclasses.MISSING:
        return field.default
    return REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()


def _scalar(value: Any, kind: type) -> Any:
    text = str(value).strip().lower()
    if kind is str and isinstance(value, str | int | float):
        return str(value)
    if kind is bool and isinstance(value, int):
        return bool(value)
    if kind is bool and text in (*_TRUE, *_FALSE):
        return text in _TRUE
    whole = isinstance(value, str | int) and not isinstance(value, bool)
    if (kind is int and whole) or (kind is float and (whole or isinstance(value, float))):
        try:
            return kind(value)
        except (ValueError, OverflowError):
            pass
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    raise ValueError(f"must be {wanted}")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, Mapping) else value


def _in_words(kind: Any, about: Key) -> str:
    arguments = typing.get_args(kind)
    if about.kind is not None:
        return about.kind
    if isinstance(kind, types.UnionType):
        (inner,) = (each for each in arguments if each is not type(None))
        return f"{_in_words(inner, about)}, or null"
    if about.choices:
        return "choice"
    origin = typing.get_origin(kind)
    if origin is tuple:
        names = {int: "whole numbers", float: "numbers", str: "names"}
        return f"list of {names.get(arguments[0], 'arms')}"
    if origin is not None:
        return "values by name"
    return {int: "whole number", float: "number", bool: "true or false"}.get(kind, "text")


def _as_typed(value: Any) -> str | None:
    """A value as it is written on a command line."""
    if value == REQUIRED:
        return None
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(str(_as_typed(each)) for each in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_as_typed(each)}' for name, each in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _chosen_values() -> dict[str, Any]:
    """The values that `conf/sweep.yaml`, and the options that it chooses, give to keys."""
    root = yaml.safe_load((package_folder() / f"{ROOT_CONFIG}.yaml").read_text())
    values: dict[str, Any] = {}
    for choice in root.pop("defaults"):
        if isinstance(choice, dict):
            ((group, option),) = choice.items()
            if group in root or group in {field.name for field in dataclasses.fields(Config)}:
                values.update(_flat(_option(group, option), f"{group}."))
    return values | dict(_flat(root))


def _option(group: str, name: str) -> dict[str, Any]:
    """The values in an option's file, and in the files that it includes; of a task without a file those of its object."""
    file = package_folder() / group / f"{name}.yaml"
    if group == "task" and not file.is_file():
        return option_of(name)
    own: dict[str, Any] = yaml.safe_load(file.read_text()) or {}
    included = [entry.partition("@")[0] for entry in own.pop("defaults", []) if entry != "_self_"]
    values: dict[str, Any] = {}
    for each in included:
        values |= _option(group, each)
    return values | own


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key not in OPEN_KEYS and isinstance(value, dict):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value
