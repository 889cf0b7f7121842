"""Goldilocks: finds the LoRA rank that is just right for a model, a data set and a budget.

From Python: `sweep.run`, `sweep.open_study` and `sweep.train`; see docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep import errors
    from sweep.commands.python_api import open_study, run, train
    from sweep.commands.study_object import Study, Trial, Verdict

__version__ = "0.1.0"
__all__ = ["Study", "Trial", "Verdict", "errors", "open_study", "run", "train"]

_MODULES = {
    **dict.fromkeys(("run", "open_study", "train"), "sweep.commands.python_api"),
    **dict.fromkeys(("Study", "Trial", "Verdict"), "sweep.commands.study_object"),
}


def __getattr__(name: str) -> Any:
    # `import sweep` must stay fast for the commands, so the API is imported on first use
    from importlib import import_module

    if name == "errors":
        return import_module("sweep.errors")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _use_own_tasks() -> None:
    """Imports the package `tasks` beside this one, even where a user's folder `./tasks` with an `__init__.py` would come first."""
    import sys
    from importlib.util import find_spec, module_from_spec, spec_from_file_location
    from pathlib import Path

    own = Path(__file__).parents[1] / "tasks" / "__init__.py"
    if "tasks" in sys.modules or not own.is_file():
        return
    spec = find_spec("tasks")
    if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == own.resolve():
        return
    spec = spec_from_file_location("tasks", own, submodule_search_locations=[str(own.parent)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["tasks"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tasks"])


_use_own_tasks()
