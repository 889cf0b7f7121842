"""Finds a task by name: built in, in `./tasks` of the working directory, or in an installed package.

Listing names runs no code; only the task that is asked for is loaded.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from tasks.checks import assemble, read_rows
from tasks.example import DataProblems, RawSplits
from tasks.own_code import explained, module_of
from tasks.readings import Origin, Reading
from tasks.suggest import did_you_mean
from tasks.task import Task

GROUP = "goldilocks.tasks"
"""The entry points of installed packages: each names a module with `TASK`, or a `Task` in it."""

_HERE = Path(__file__).parent
_DEFINED = re.compile(r"^TASK\b.*=", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class NamedTask:
    """A task as it was found.

    Attributes:
        where: its file or package, for people.
        module: the module that its own functions are in.
    """

    name: str
    task: Task
    where: str
    module: ModuleType

    @property
    def metric(self) -> str:
        """The metric as `task.metric` names it; a function of the task's file as `NAME:FUNCTION`.

        Raises:
            DataProblems: the function cannot be found by its name in the module.
        """
        metric = self.task.metric
        if isinstance(metric, str):
            return metric
        name = getattr(metric, "__name__", "")
        if getattr(self.module, name, None) is not metric:
            raise DataProblems(
                [
                    f"{self.where}: metric must be a function that the file defines with def, by its own name; {name or metric} is not"
                ]
            )
        return f"{self.name}:{name}"


def names() -> tuple[str, ...]:
    """The names of all tasks that can be found from the working directory, sorted."""
    return tuple(sorted({*_built_in(), *_own_files(), *_entry_points()}))


def exists(name: str) -> bool:
    """Whether `find` finds a task of this name. Installed packages, which take long to look through, are asked last."""
    return name in _built_in() or name in _own_files() or name in _entry_points()


def is_built_in(name: str) -> bool:
    """Whether the project has a task of this name."""
    return name in _built_in()


def find(name: str) -> NamedTask:
    """The task of this name: a built-in one, then one in `./tasks`, then one of an installed package.

    Raises:
        DataProblems: there is none, it cannot be loaded, or a file of one's own has the name of a built-in task.
    """
    built_in, own = _built_in(), _own_files()
    if name in built_in and name in own:
        raise DataProblems([f"{own[name]}: {name} is a built-in task; give the file another name"])
    if name in built_in:
        return _checked(name, importlib.import_module(f"tasks.{name}"), str(built_in[name]))
    if name in own:
        return _checked(name, module_of(own[name], name), str(own[name]))
    installed = _entry_points()
    if name in installed:
        return _from_entry_point(name, installed[name])
    known = names()
    raise DataProblems(
        [
            f"task={name}: there is no such task{did_you_mean(name, known)} (known: {', '.join(known)}; your own is a file "
            f"tasks/{name}.py in this folder)"
        ]
    )


def load(name: str) -> RawSplits:
    """The checked splits of a task.

    Raises:
        DataProblems: the task cannot be loaded, or its examples cannot be used; lists every problem.
    """
    found = find(name)
    with explained(found.where, "load() failed"):
        result = found.task.load()
        if isinstance(result, RawSplits):
            return _of_known_kinds(result, found)
        if result is None or isinstance(result, str | Mapping):
            kind = "nothing" if result is None else f"a {type(result).__name__}"
            raise DataProblems(
                [
                    f"{found.where}: load() must return three collections of examples (train, validation and test), not {kind}"
                ]
            )
        splits = [list(split) for split in result]
    if len(splits) != len(_SPLITS):
        raise DataProblems(
            [f"{found.where}: load() must return train, validation and test, not {len(splits)} collections"]
        )
    train, validation, test = (_read(split, rows, found) for split, rows in zip(_SPLITS, splits, strict=True))
    return _of_known_kinds(assemble(train, validation, test), found)


def _read(split: str, rows: Iterable[object], found: NamedTask) -> Reading:
    origin = Origin(f"{found.where}: {split}", split, " example ")
    return read_rows(origin, enumerate(rows, start=1))


def _of_known_kinds(splits: RawSplits, found: NamedTask) -> RawSplits:
    known = found.task.kinds
    used = {row.kind for rows in (splits.train, splits.validation, splits.test) for row in rows} - {None}
    if known and (others := sorted(str(kind) for kind in used - set(known))):
        raise DataProblems(
            [f'{found.where}: kind "{kind}" is not one of kinds{did_you_mean(kind, known)}' for kind in others]
        )
    return splits


def _built_in() -> Mapping[str, Path]:
    packages = {file.parent.name: file.parent for file in sorted(_HERE.glob("*/__init__.py"))}
    return {
        name: path
        for name, path in packages.items()
        if _DEFINED.search((path / "__init__.py").read_text(encoding="utf-8"))
    }


def _own_files() -> Mapping[str, Path]:
    """The files of `./tasks` by task name, unless that is the project's own folder. Names with a leading underscore are parts."""
    folder = Path.cwd() / "tasks"
    if not folder.is_dir() or folder.resolve() == _HERE.resolve():
        return {}
    files = {path.stem: path for path in sorted(folder.glob("*.py"))}
    files |= {path.parent.name: path for path in sorted(folder.glob("*/__init__.py"))}
    return {name: path for name, path in files.items() if _NAME.fullmatch(name)}


def _entry_points() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if _NAME.fullmatch(point.name)}


def _from_entry_point(name: str, point: EntryPoint) -> NamedTask:
    package = f"package {point.dist.name}" if point.dist is not None else point.module
    where = f"{package} ({point.value})"
    with explained(where, "cannot be loaded"):
        loaded = point.load()
    module = sys.modules[point.module]
    return _checked(name, loaded if isinstance(loaded, ModuleType) else module, where, loaded)


def _checked(name: str, module: ModuleType, where: str, task: object = None) -> NamedTask:
    found = task if isinstance(task, Task) else getattr(module, "TASK", None)
    if not isinstance(found, Task):
        lacks = "TASK is not a Task" if found is not None else "defines no TASK"
        raise DataProblems([f"{where}: {lacks}; write TASK = Task(load=..., metric=...), with from tasks import Task"])
    if mistakes := found.mistakes():
        raise DataProblems([f"{where}: TASK: {mistake}" for mistake in mistakes])
    named = NamedTask(name, found, where, module)
    _ = named.metric  # an unusable one is a problem of the task, whatever asks for it
    return named
