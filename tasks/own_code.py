"""Python files that the user names: loading them, and the mistakes in them as problems with file and line."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from tasks.example import DataProblems

_OWN = Path(__file__).parent
_PREFIX = "goldilocks_own_"
"""Names of the user's modules begin with it, so that none replaces an installed module."""

_loaded: dict[Path, tuple[int, ModuleType]] = {}
"""By file: when it was changed, and the module. A session that goes on after an edit loads the file again."""


@contextmanager
def explained(where: str, doing: str) -> Iterator[None]:
    """Turns any error of the user's code within the block into a problem that names its file and line.

    Args:
        where: the file or package, named where the error has no line in it.
        doing: what failed, to follow the location ("load() failed").

    Raises:
        DataProblems: with one problem; those that the code raises pass through.
    """
    try:
        yield
    except DataProblems:
        raise
    # whatever a user's code raises, calls of sys.exit included, is explained to its author
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        kind = type(error).__name__
        raise DataProblems([f"{_place(error, where)}: {doing}: {kind}{f': {text}' if text else ''}"]) from error


def module_of(file: Path, name: str) -> ModuleType:
    """The module in a file, which is run unless it was before; `__init__.py` is the package of its folder.

    Raises:
        DataProblems: the file cannot be run; names file and line.
    """
    file = file.absolute()
    with explained(str(file), "cannot be loaded"):
        changed = file.stat().st_mtime_ns
        known = _loaded.get(file)
        if known is not None and known[0] == changed:
            return known[1]
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        spec = importlib.util.spec_from_file_location(f"{_PREFIX}{name}", file, submodule_search_locations=folder)
        if spec is None or spec.loader is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        for other in [key for key in sys.modules if key == spec.name or key.startswith(f"{spec.name}.")]:
            del sys.modules[other]
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    _loaded[file] = (changed, module)
    return module


def importable(name: str) -> ModuleType:
    """The module `a.b` in `./a/b.py`, or an installed one.

    Raises:
        DataProblems: there is none, or it cannot be run.
    """
    inner = Path(*name.split("."))
    for file in (inner.with_suffix(".py"), inner / "__init__.py"):
        if file.is_file():
            return module_of(file, name.replace(".", "_"))
    with explained(name, "cannot be imported"):
        return importlib.import_module(name)
    raise AssertionError


def files_behind(file: Path, folders: Iterable[Path] = ()) -> list[Path]:
    """The files that code in a file depends on, itself first: those of its package, and local modules that it imports, transitively.

    Of a package, all Python files and checks count. A module is local if it is beside the file or its package, in the working
    directory, or elsewhere on `sys.path` outside of installed packages. What is imported by a computed name is not seen.

    Args:
        folders: whose Python files count, too.
    """
    file = file.absolute()
    package = _package_of(file)
    roots = [(package or file).parent, Path.cwd(), *map(Path, sys.path)]
    roots = [root.absolute() for root in dict.fromkeys(roots) if not _is_installed(root)]
    found: set[Path] = set()
    left = [
        file,
        *(_python_files(package) if package else ()),
        *(each for one in folders for each in _python_files(one)),
    ]
    while left:
        each = left.pop().absolute()
        if each in found:
            continue
        found.add(each)
        if each.suffix == ".py":
            left += [local for name in _imports(each, each.stat().st_mtime_ns) for local in _local_module(name, roots)]
    return [file, *sorted(found - {file})]


def _package_of(file: Path) -> Path | None:
    """The outermost package that a file is in; of our own, the folder of the task."""
    package = None
    for folder in file.parents:
        if folder == _OWN or not (folder / "__init__.py").is_file():
            break
        package = folder
    return package


def _python_files(folder: Path) -> Iterator[Path]:
    """The Python files and checks below a folder, without hidden folders and environments."""
    for path, names, files in os.walk(folder):
        names[:] = [name for name in names if name[0] != "." and not Path(path, name, "pyvenv.cfg").is_file()]
        yield from (Path(path, name) for name in files if name.endswith(".py") or name == "checks.jsonl")


def _is_installed(folder: Path) -> bool:
    return str(folder) in sysconfig.get_paths().values() or bool({"site-packages", "dist-packages"} & set(folder.parts))


@lru_cache(maxsize=4096)
def _imports(file: Path, changed: int) -> tuple[str, ...]:
    """The names of the modules that a file imports, `a.b` for `from a import b`; within its package all files count anyway."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{each.name}" for each in node.names]
    return tuple(names)


def _local_module(name: str, roots: Sequence[Path]) -> Iterable[Path]:
    """The files of a local module, or of its package; none if it is not local, or our own."""
    first, *_ = parts = name.split(".")
    if first in ("sweep", "tasks"):
        return ()
    for root in roots:
        path = root
        for part in parts:
            path = path / part
            if path.with_suffix(".py").is_file():
                return [path.with_suffix(".py")]
            if (path / "__init__.py").is_file():
                return _python_files(path)
    return ()


def _place(error: BaseException, where: str) -> str:
    """The last line of the user's own code that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    libraries = (str(Path(__file__).parent), sys.prefix, sys.base_prefix, str(Path(traceback.__file__).parent), "<")
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    inside = [frame for frame in frames if frame.filename.startswith(where)]
    last = (inside or own)[-1:]
    return f"{last[0].filename}:{last[0].lineno}" if last else where
