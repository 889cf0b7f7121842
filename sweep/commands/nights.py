"""`nights`: all nights of the schedules, as a table and as a page; reads the ledger alone, and loads no model."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sweep.console.command import key_values, run
from sweep.console.command_line import program
from sweep.errors import ConfigurationError

USAGE = "[schedule=NAME] [study=NAME] [last=NUMBER]"
ABOUT = """Prints every night of the schedules: outcome, verdict, rank, test score, loss, minutes and what changed; and writes the
same as a page for a browser, with every night: mlruns/nightly/index.html.
schedule=NAME and study=NAME print theirs alone, last=NUMBER prints only the latest ones."""


def nights(words: Sequence[str]) -> int:
    """Prints the nights and writes the page; returns the exit code.

    Raises:
        ConfigurationError: a word is not understood, or there is no such schedule or study.
        EnvironmentLacks: the ledger cannot be read.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('nights')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = key_values(words, ("schedule", "study", "last"))
    problems = [f"{key}: write it once" for key, values in keys.items() if len(values) > 1]
    last = keys.get("last", ["1"])[0]
    if not last.isdecimal() or int(last) < 1:
        problems.append(f"last={last}: write a whole number above zero")
    if problems:
        raise ConfigurationError(problems)

    from sweep.nightly.ledger import Ledger
    from sweep.store.paths import Paths

    paths = Paths.here()
    recorded = Ledger(paths.nights_database).nights()
    if not recorded:
        print("no night has been recorded here yet")
        return 0
    chosen = recorded
    for key in ("schedule", "study"):
        if key in keys:
            chosen = [night for night in chosen if getattr(night, key) == keys[key][0]]
    if not chosen:
        raise ConfigurationError(_unknown(keys, recorded))
    if "last" in keys:
        chosen = chosen[-int(last) :]

    from sweep.nightly.page import write_page
    from sweep.nightly.rows import rows_of
    from sweep.nightly.table import print_nights
    from sweep.reports.closing import console
    from sweep.reports.steps import shown

    out = console()
    print_nights(rows_of(chosen), out)
    out.print(f"  {shown(write_page(recorded, paths))}     all nights, for a browser", soft_wrap=True)
    return 0


def _unknown(keys: dict[str, list[str]], recorded: Sequence[object]) -> list[str]:
    """Which of the words names nothing, or that no night has both."""
    from sweep.console.suggest import did_you_mean

    problems = []
    for key in ("schedule", "study"):
        names = sorted({getattr(night, key) for night in recorded})
        if key in keys and keys[key][0] not in names:
            near = did_you_mean(keys[key][0], names)
            problems.append(f"{key}={keys[key][0]}: no night of it is recorded{near} (known: {', '.join(names)})")
    return problems or [f"no night of schedule={keys['schedule'][0]} ran study={keys['study'][0]}"]


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: nights(sys.argv[1:]))
