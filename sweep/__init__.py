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
