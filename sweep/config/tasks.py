"""The group `task`: besides the files in `conf/task`, an option for every task that is Python code, made from its object.

A file in `conf/task` comes first.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sweep.config.groups import files_of
from tasks import DataProblems, registry
from tasks.task import DEFAULT_LENGTH, DEFAULT_METRIC

BUILT_IN, PYTHON = "builtin", "python"
"""The kinds of tasks that are Python code: built in, and of one's own or an installed package."""

_FALLBACK: dict[str, Any] = {
    "metric": DEFAULT_METRIC,
    "max_length": DEFAULT_LENGTH,
    "system_prompt": None,
    "limits": None,
}
_RESOLVER = "of_task"
_PROVIDER = "tasks"


def register_tasks() -> None:
    """Tells Hydra of every task that can be found from the working directory and has no file in `conf/task`."""
    OmegaConf.register_new_resolver(_RESOLVER, _value, replace=True)
    stored = ConfigStore.instance().repo.get("task", {})
    for file in [file for file, node in stored.items() if node.provider == _PROVIDER]:
        del stored[file]  # of another working directory
    # Hydra takes an entry that has the name of a file for the file's schema
    for name in sorted(set(registry.names()) - set(files_of("task"))):
        ConfigStore.instance().store(name, option_of(name), group="task", provider=_PROVIDER)


def option_of(name: str) -> dict[str, Any]:
    """What a file in `conf/task` would hold; of a task that is not built in with interpolations, so that its code runs only if chosen."""
    if registry.is_built_in(name):
        return {"name": name, "kind": BUILT_IN, **_values(name)}
    return {"name": name, "kind": PYTHON, **{key: f"${{{_RESOLVER}:'{name}',{key}}}" for key in _FALLBACK}}


def _values(name: str) -> dict[str, Any]:
    """The defaults of `task.*` that a task's object gives; general ones if it cannot be loaded, which reading its data reports."""
    try:
        found = registry.find(name)
        metric = found.metric
    except DataProblems:
        return dict(_FALLBACK)
    return {"metric": metric, **{key: getattr(found.task, key) for key in _FALLBACK if key != "metric"}}


def _value(name: str, key: str) -> Any:
    return _values(name)[key]
