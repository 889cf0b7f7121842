"""`method.*`: the own parameters of all methods as keys of one section, null unless given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from sweep.methods import (
    ALPHA,
    ALPHA_PATTERN,
    DROPOUT,
    INIT,
    LAYERS,
    RANK,
    RANK_PATTERN,
    TARGETS,
    Method,
    methods,
    names,
)
from sweep.methods.method import OwnKey
from sweep.records import Value
from sweep.records.keys import Key

FIELDS: Mapping[str, str] = {
    "lora.r": RANK,
    "lora.alpha_ratio": ALPHA,
    "lora.alpha": ALPHA,
    "lora.dropout": DROPOUT,
    "lora.targets": TARGETS,
    "lora.init": INIT,
    "lora.rank_pattern": RANK_PATTERN,
    "lora.alpha_pattern": ALPHA_PATTERN,
    "lora.layers": LAYERS,
    "search.space.rank": RANK,
    "search.space.alpha_ratio": ALPHA,
    "search.space.dropout": DROPOUT,
    "search.space.targets": TARGETS,
    "certify.ladder": RANK,
}
"""Keys that mean something only for methods with this field."""

IN_WORDS = {
    RANK: "rank",
    ALPHA: "alpha",
    DROPOUT: "dropout on its input",
    TARGETS: "target modules",
    INIT: "initialization of A and B",
    RANK_PATTERN: "ranks of single modules",
    ALPHA_PATTERN: "alphas of single modules",
    LAYERS: "choice of layers",
}


@dataclass(frozen=True, slots=True)
class MethodName:
    """`method.name`"""

    name: Annotated[str, Key("how the model is adapted; choose it with method=NAME", choices=names())]


@cache
def owners() -> Mapping[str, tuple[Method, ...]]:
    """The methods that have each own parameter, by its name."""
    found: dict[str, tuple[Method, ...]] = {}
    for method in methods().values():
        for key in method.own_keys():
            found[key.name] = (*found.get(key.name, ()), method)
    return found


def own_key(method: Method, name: str) -> OwnKey | None:
    """A method's own parameter of this name; None if it has none."""
    return next((key for key in method.own_keys() if key.name == name), None)


def own_values(method: Method, config: MethodName) -> dict[str, Value]:
    """The method's own parameters: as configured, else its defaults. One that needs a value and has none is left out."""
    values: dict[str, Value] = {}
    for key in method.own_keys():
        value = getattr(config, key.name)
        value = key.default if value is None else value
        if value is not None:
            values[key.name] = value
    return values


def _key(name: str, having: tuple[Method, ...]) -> tuple[str, Any, Any]:
    """The field of a parameter that one or more methods have under this name.

    Raises:
        TypeError: they give it different types or limits.
    """
    keys = [key for method in having if (key := own_key(method, name)) is not None]
    first = keys[0]
    if any(
        (key.type, key.about.limit, key.about.choices) != (first.type, first.about.limit, first.about.choices)
        for key in keys
    ):
        raise TypeError(
            f"method.{name}: {', '.join(method.name for method in having)} differ in its type, limits or choices"
        )
    texts = dict.fromkeys(key.about.text for key in keys)
    defaults = {method.name: key.default for method, key in zip(having, keys, strict=True) if key.default is not None}
    same = len(set(defaults.values())) == 1
    shown = (
        f"{next(iter(defaults.values()))}" if same else ", ".join(f"{value} for {of}" for of, value in defaults.items())
    )
    text = f"{', '.join(method.name for method in having)}: {'; '.join(texts)}" + (f" (null: {shown})" if shown else "")
    example = first.about.example or (None if first.default is None else str(first.default))
    about = dataclasses.replace(first.about, text=text, example=example)
    return name, Annotated[first.type | None, about], dataclasses.field(default=None)


if TYPE_CHECKING:

    class MethodKeys(MethodName):
        """`method.*`"""

else:
    MethodKeys = dataclasses.make_dataclass(
        "MethodKeys", [_key(name, having) for name, having in owners().items()], bases=(MethodName,), frozen=True
    )
