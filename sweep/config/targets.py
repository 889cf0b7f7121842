"""Target modules by the name of a set, or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def resolve_targets(value: str | Sequence[str], sets: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Sorted module names out of a set's name, `q_proj,v_proj`, or a list of either."""
    entries = value.split(",") if isinstance(value, str) else list(value)
    names: set[str] = set()
    for entry in entries:
        name = str(entry).strip()
        if name:
            names.update(sets.get(name, (name,)))
    return tuple(sorted(names))


def set_name(targets: Sequence[str], sets: Mapping[str, Sequence[str]]) -> str:
    """The name of the set that has exactly these modules, or the modules joined with commas."""
    for name, modules in sets.items():
        if sorted(modules) == sorted(targets):
            return name
    return ",".join(targets)
