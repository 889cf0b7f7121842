"""What every command shares: a person's words in, errors explained, an exit code out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from sweep.console.masking import mask_output
from sweep.console.output import lost_output, make_lasting
from sweep.console.system_errors import explained
from sweep.errors import EnvironmentLacks, GoldilocksError, Interrupted, Problems


def run(command: Callable[[], int | None]) -> int:
    """Runs a command; its errors are explained in words, and become exit codes; None is 0.

    It goes on if nobody reads what it prints any more (`| head`); an output that cannot be written, as on a full disk, is an
    error at the end. Nothing that is printed from here on holds a password.
    """
    make_lasting()
    mask_output()
    code = _outcome(command)
    lost = lost_output()
    if lost is not None and code == 0:
        explain(EnvironmentLacks(f"standard output cannot be written: {lost}; all else is done"))
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
    """Prints an error to standard error: heading, and one entry for each problem."""
    if isinstance(error, Problems):
        print(f"{error.heading}:", file=sys.stderr)
        for problem in error.problems:
            print(f"  - {problem}", file=sys.stderr)
    else:
        print(str(error), file=sys.stderr)


def key_values(words: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    """`key=value` words of the commands that Hydra does not compose; a key may stand there more than once.

    Raises:
        ConfigurationError: with every word that is no such pair or whose key is unknown.
    """
    from sweep.console.suggest import did_you_mean
    from sweep.errors import ConfigurationError

    found: dict[str, list[str]] = {}
    problems: list[str] = []
    for word in words:
        key, sign, value = word.partition("=")
        key = key.lstrip("+")
        if not sign or not value:
            problems.append(f"{word}: write KEY=VALUE (known: {', '.join(known)})")
        elif key not in known:
            problems.append(f"{word}: there is no key '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})")
        else:
            found.setdefault(key, []).append(value)
    if problems:
        raise ConfigurationError(problems)
    return found
