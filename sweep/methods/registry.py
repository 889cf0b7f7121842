"""All methods by name: the files of this folder that describe one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sweep.methods.method import Method
from sweep.records import Arm


@cache
def methods() -> Mapping[str, Method]:
    """Every method by name: `METHOD` of each file here."""
    package, folder = __name__.rpartition(".")[0], str(Path(__file__).parent)
    modules = (importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules([folder]))
    described = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    return {method.name: method for method in sorted(described, key=lambda method: method.name)}


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(methods())


def method_of(arm: Arm) -> Method:
    """The method of an arm.

    Raises:
        KeyError: there is none of its name, as in records of another version.
    """
    return methods()[arm.method]


def trains_packed(arm: Arm) -> bool:
    """Whether `engine=packed` trains the arm; arms of methods that this version does not know are taken for such."""
    method = methods().get(arm.method)
    return method is None or method.packed


def virtual_tokens(arm: Arm | None) -> int:
    """Number of trained tokens before each prompt."""
    if arm is None or not method_of(arm).virtual_tokens:
        return 0
    count = dict(arm.own).get("tokens", 0)
    return int(count) if isinstance(count, int) else 0
