"""Python files that the user names: loading them, and the mistakes in them as problems with file and line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tasks.example import DataProblems

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
