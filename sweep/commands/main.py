"""The command line: `goldilocks COMMAND ...`, `python -m sweep [COMMAND] ...`, `python -m sweep.COMMAND ...`.

Imports nothing slow, so that a signal in the first moments is handled, too.
"""

from __future__ import annotations

import sys
from importlib import import_module

from sweep.console.signals import end_at_once

_MODULES = {
    "run": "sweep.commands.study",
    "plan": "sweep.commands.planning.command",
    "train": "sweep.commands.train",
    "data": "sweep.commands.data_report.command",
    "report": "sweep.commands.report",
    "predict": "sweep.commands.predict",
    "schedule": "sweep.commands.schedule",
    "nights": "sweep.commands.nights",
    "refresh": "sweep.commands.refresh",
    "champion": "sweep.commands.champion",
    "ui": "sweep.commands.ui",
    "doctor": "sweep.commands.doctor.command",
    "archive": "sweep.commands.archive",
    "gc": "sweep.commands.gc",
    "help": "sweep.commands.help",
}
_LONG_RUNNING = ("run", "train", "plan", "refresh")
"""Until these listen for signals themselves, a signal ends them at once. The others clean up after Ctrl-C."""


def main() -> int:
    """`goldilocks` and `python -m sweep`: the first word names the command, by default `run`. Returns the exit code."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in _MODULES:
        return _start(first, sys.argv[2:], subcommand=True)
    if first == "--version":
        return _print_version()
    if any(word in ("-h", "--help") for word in sys.argv[1:]):
        return _start("help", ["--help"])
    if first.isidentifier():
        return _unknown(first)
    if not first and _as_script():
        return _start("help", ["--help"])
    return _start("run", sys.argv[1:])


def start(name: str) -> int:
    """`python -m sweep.NAME`; returns the exit code."""
    return _start(name, sys.argv[1:], module=f"sweep.{name}")


def _start(name: str, words: list[str], *, module: str = "sweep", subcommand: bool = False) -> int:
    if name in _LONG_RUNNING:
        end_at_once()
    from sweep.console.command_line import SCRIPT, remember_command_line

    program = (SCRIPT,) if _as_script() else ("python", "-m", module)
    remember_command_line((*program, name) if subcommand else program, words)
    sys.argv[1:] = words
    code: int = import_module(_MODULES[name]).main()
    return code


def _as_script() -> bool:
    from sweep.console.command_line import started_as_script

    return started_as_script()


def _print_version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"goldilocks {version('goldilocks-lora')}")
    except PackageNotFoundError:  # a checkout that was not installed
        print("goldilocks, not installed: run `pip install --editable .`")
    return 0


def _unknown(word: str) -> int:
    from sweep.console.command import run
    from sweep.console.suggest import did_you_mean
    from sweep.errors import ConfigurationError

    def refuse() -> None:
        raise ConfigurationError(
            f"{word}: there is no such command{did_you_mean(word, _MODULES)} (commands: {', '.join(_MODULES)}; "
            "settings are written KEY=VALUE)"
        )

    return run(refuse)
