"""How this process was started, and commands that work when pasted into the same shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.console.masking import mask_word

SCRIPT = "goldilocks"
SUBCOMMANDS = (
    "run",
    "plan",
    "train",
    "data",
    "report",
    "predict",
    "schedule",
    "nights",
    "refresh",
    "champion",
    "ui",
    "archive",
    "gc",
    "doctor",
    "help",
)
_MODULE = ("python", "-m", "sweep")

_START = re.compile(
    rf"(?:\S*python\S* -m sweep(?:\.(?P<module>{'|'.join(SUBCOMMANDS)}))?|\S*{SCRIPT})"
    rf"(?: (?P<subcommand>{'|'.join(SUBCOMMANDS)}))?(?= |$)"
)
"""The beginning of a command of ours, however it was started."""


@dataclass(frozen=True, slots=True)
class _CommandLine:
    program: tuple[str, ...]
    words: tuple[str, ...]


_typed: _CommandLine | None = None


def started_as_script() -> bool:
    """Whether this process was started as `goldilocks`, and not with `python -m`."""
    return Path(sys.argv[0]).stem == SCRIPT


def remember_command_line(program: tuple[str, ...], words: list[str]) -> None:
    """Keeps the command line as typed, before anything changes `sys.argv`."""
    global _typed
    _typed = _CommandLine(program, tuple(words))


@contextmanager
def called_as(program: Sequence[str], words: Sequence[str]) -> Iterator[None]:
    """Within the block, `command_line` returns this command: for a study that is run from Python."""
    global _typed
    before, _typed = _typed, _CommandLine(tuple(program), tuple(words))
    try:
        yield
    finally:
        _typed = before


def command_line() -> str:
    """This process's command as typed; passwords in URLs are masked."""
    program, words = (_typed.program, list(_typed.words)) if _typed else (_program_of_main(), _words_of_argv())
    return shlex.join([*program, *map(mask_word, words)])


def _program_of_main() -> tuple[str, ...]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return ("python", "-m", spec.name.removesuffix(".__main__")) if spec else _MODULE


def _words_of_argv() -> list[str]:
    """The words without the `--config-dir` that is put in front of them for `./conf`."""
    words = sys.argv[1:]
    return words[2:] if words[:2] == ["--config-dir", str(Path.cwd() / "conf")] else words


def pasteable(command: str) -> str:
    """A command of ours, such as `python -m sweep.report study=NAME`, with the program that this process was started with.

    Only the program changes; the words after it stay as they are. Other commands are returned unchanged.
    """
    start = _START.match(command)
    if start is None:
        return command
    name = start["module"] or start["subcommand"]
    rest = command[start.end() :]
    if start["module"] and start["subcommand"]:
        rest = f" {start['subcommand']}{rest}"
    if started_as_script():
        return f"{_script()} {name or 'run'}{rest}"
    module = "sweep" if name in (None, "run", "help") else f"sweep.{name}"
    return f"{interpreter()} -m {module}{' help' if name == 'help' else ''}{rest}"


def is_ours(command: str) -> bool:
    """Whether a command starts this program."""
    return _START.match(command) is not None


def words_of(command: str) -> list[str]:
    """The words after the program of a command of ours."""
    start = _START.match(command)
    return shlex.split(command[start.end() :] if start else command)


def program(name: str = "run") -> str:
    """How help and usage name a command: `goldilocks NAME`, or `python -m sweep.NAME`."""
    if started_as_script():
        return f"{SCRIPT} {name}"
    return "python -m sweep" if name == "run" else f"python -m sweep.{name}"


def interpreter() -> str:
    """The Python that runs this process, as a word for the shell: `python` if PATH finds it, else its path."""
    return _word(Path(sys.executable), "python") if sys.executable else "python"


def _script() -> str:
    return _word(Path(sys.argv[0]).absolute(), SCRIPT)


def _word(program: Path, name: str) -> str:
    on_path = shutil.which(name)
    if on_path is not None and Path(on_path).absolute() == program:
        return name
    try:
        relative = program.relative_to(Path.cwd())
    except ValueError:
        return shlex.quote(os.fspath(program))
    return shlex.quote(os.path.join(".", relative) if len(relative.parts) == 1 else os.fspath(relative))  # noqa: PTH118
