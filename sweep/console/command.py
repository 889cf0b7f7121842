"""What all commands share: output, errors in words, exit codes, and `key=value` words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sweep.console.masking import mask_output, mask_quoted
from sweep.console.output import lost_output, survive_lost_output
from sweep.console.system_errors import explained
from sweep.errors import EnvironmentLacks, GoldilocksError, Interrupted, Problems
from tasks.printable import printable

ERROR_FILE = "GOLDILOCKS_ERROR_FILE"
"""The environment variable that names a file for the error with which a command ends, in words."""


def run(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code; errors are printed in words. None is 0.

    The command continues when its reader ends (`| head`). Output that cannot be written for another reason, such as a full
    disk, is an error at the end. Passwords are masked in everything that is printed from here on.
    """
    survive_lost_output()
    mask_output()
    code = _outcome(command)
    lost = lost_output()
    if lost is not None and code == 0:
        explain(EnvironmentLacks(f"standard output cannot be written: {lost}; everything else is done"))
        return EnvironmentLacks.exit_code
    return code


def _outcome(command: Callable[[], int | None]) -> int:
    try:
        return command() or 0
    except GoldilocksError as error:
        explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return Interrupted.exit_code
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0
    except OSError as error:
        lack = explained(error)
        if lack is None:
            raise
        explain(lack)
        return lack.exit_code


def explain(error: GoldilocksError) -> None:
    """Prints an error to standard error: heading, and one entry for each problem. Whoever started this process may want it in a file."""
    if file := os.environ.get(ERROR_FILE):
        with suppress(OSError):
            Path(file).write_text(mask_quoted(str(error)), encoding="utf-8", errors="backslashreplace")
    if isinstance(error, Problems):
        print(f"{error.heading}:", file=sys.stderr)
        for problem in error.problems:
            print(f"  - {printable(problem)}", file=sys.stderr)
    else:
        print(printable(str(error)), file=sys.stderr)


def key_values(words: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    """`key=value` words of the commands that Hydra does not compose; a key may be given more than once.

    Raises:
        ConfigurationError: with every word that is not such a pair or has an unknown key.
    """
    from sweep.console.suggest import did_you_mean
    from sweep.errors import ConfigurationError

    values: dict[str, list[str]] = {}
    problems: list[str] = []
    for word in words:
        key, sign, value = word.partition("=")
        key = key.lstrip("+")
        if not sign or not value:
            problems.append(f"{word}: write KEY=VALUE (known: {', '.join(known)})")
        elif key not in known:
            problems.append(f"{word}: there is no key '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})")
        else:
            values.setdefault(key, []).append(value)
    if problems:
        raise ConfigurationError(problems)
    return values
