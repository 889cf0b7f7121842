"""Target modules: by the name of a set or one by one, and whether the model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.console.suggest import did_you_mean
from sweep.records.arm import set_name as set_name


def resolve_targets(value: str | Sequence[str], sets: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Sorted module names from the name of a set, `q_proj,v_proj`, or a list of either."""
    entries = value.split(",") if isinstance(value, str) else list(value)
    names: set[str] = set()
    for entry in entries:
        name = str(entry).strip()
        if name:
            names.update(sets.get(name, (name,)))
    return tuple(sorted(names))


def check_targets(targets: Sequence[str], linear_modules: Sequence[str], key: str) -> list[str]:
    """Problems of target-module names, each with a suggestion; empty if the model has all of them.

    Args:
        targets: name suffixes, as PEFT matches them.
        linear_modules: full names of the model's linear modules.
        key: the configuration key that the problems name.
    """
    suffixes = sorted({name.rsplit(".", 1)[-1] for name in linear_modules})
    return [
        f"{key}: the model has no linear module named '{target}'{did_you_mean(target, suffixes)} "
        f"(it has: {', '.join(suffixes)})"
        for target in targets
        if not any(is_target(name, target) for name in linear_modules)
    ]


def is_target(module: str, target: str) -> bool:
    """Whether a module, by its full name, is a target: as in PEFT, that is a full name or the end of one."""
    return module == target or module.endswith(f".{target}")
