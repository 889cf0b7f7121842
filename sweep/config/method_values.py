"""The values that a method brings along (`conf/method/`), and the configuration as it is with another method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import yaml

from sweep.config.groups import package_folder
from sweep.config.keys import entries, read_value
from sweep.config.schema import Config

R = TypeVar("R")

_OF_ALL_KEYS = "# @package _global_"
"""The first line of a file that names keys of all sections; the others hold keys of `method` alone."""


@cache
def method_values(name: str) -> Mapping[str, Any]:
    """What `method=NAME` sets beside the name: values by full key, in the types of the schema."""
    text = (package_folder() / "method" / f"{name}.yaml").read_text(encoding="utf-8")
    own: dict[str, Any] = yaml.safe_load(text) or {}
    included = [entry for entry in own.pop("defaults", []) if entry != "_self_"]
    values: dict[str, Any] = {}
    for each in included:
        values |= method_values(each)
    flat = _flat(own) if text.startswith(_OF_ALL_KEYS) else _flat({"method": own})
    values |= {key: read_value(value, entries()[key].type) for key, value in flat.items()}
    values.pop("method.name", None)
    return values


def config_of(config: Config, name: str) -> Config:
    """The configuration of one method of a search over methods.

    What the method brings along comes before what the study says for all methods; `method.*` and `search.space.learning_rates`, which
    are about this method, come before both.
    """
    for key, value in method_values(name).items():
        if not key.startswith("method.") or getattr(config.method, key.removeprefix("method.")) is None:
            config = with_value(config, key, value)
    rates = config.search.space.learning_rates.get(name, ())
    if len(rates) == 2:
        config = with_value(config, "search.space.learning_rate.low", rates[0])
        config = with_value(config, "search.space.learning_rate.high", rates[1])
    return with_value(config, "method.name", name)


def with_value(record: R, key: str, value: Any) -> R:
    """The record with a value in place of that of a key, such as `lora.r`."""
    name, _, rest = key.partition(".")
    return dataclasses.replace(record, **{name: with_value(getattr(record, name), rest, value) if rest else value})  # type: ignore[type-var]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
