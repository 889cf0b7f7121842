"""What stands around the code of answers: the names that it may use, and how much it may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What the code of one answer may take, its checks included.

    Attributes:
        cpu_seconds: of processor time; whole seconds, as the kernel counts them.
        seconds: of wall-clock time: it ends an answer that waits. More than `cpu_seconds`, as other processes may be busy.
        memory: bytes of address space, with those of the interpreter.
        output: bytes that all results of the checks may have together.
    """

    cpu_seconds: int = 1
    seconds: float = 10.0
    memory: int = 512 * 2**20
    output: int = 2**16


@dataclass(frozen=True, slots=True)
class Program:
    """The surroundings of an answer.

    Answers can open no file, so whatever they import is imported before: by `setup`, or as a module of `modules`. Modules of the standard
    library that snippets usually need are always there (`tasks/execution/server.py`).

    Attributes:
        setup: Python code that runs before each answer; both have the same global names. Trusted: it runs without limits.
        folders: where `setup` may import from, beside the standard library.
        modules: modules that answers may import, such as "numpy", from `folders`.
        limits: what an answer may take.
    """

    setup: str = ""
    folders: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    limits: Limits = Limits()
